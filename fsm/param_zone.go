package fsm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxTransitions bounds a zone's table: 50 years of two changes a year.
const maxTransitions = 100

// Zone is a time zone as data: its offset from UTC and when that changes. The
// state never asks a time zone database, whose versions differ between nodes;
// who sets the zone proposes its table.
type Zone struct {
	Name        string        // for people
	Offset      time.Duration // east of UTC, before the first transition
	Transitions []Transition  // by time
}

// Transition is a change of a zone's offset.
type Transition struct {
	At     Time
	Offset time.Duration
}

// ParseZone reads a zone: a name, the offset as [+-]hh:mm, and transitions as
// seconds since 1970 and the offset from then on, with spaces between them:
//
//	Europe/Berlin +01:00 1774746000=+02:00 1792890000=+01:00
//
// "UTC" may stand alone, and so may an offset.
func ParseZone(text string) (Zone, error) {
	words := strings.Fields(text)
	switch {
	case len(words) == 0:
		return Zone{}, fmt.Errorf("zone %q: a name and an offset such as +02:00 are needed", text)
	case len(words) == 1 && strings.EqualFold(words[0], "UTC"):
		return Zone{Name: "UTC"}, nil
	case len(words) == 1:
		offset, err := parseOffset(words[0])
		return Zone{Name: words[0], Offset: offset}, err
	case len(words)-2 > maxTransitions:
		return Zone{}, fmt.Errorf("zone %s: %d transitions, at most %d", words[0], len(words)-2, maxTransitions)
	}
	z := Zone{Name: words[0]}
	if len(z.Name) > maxName {
		return Zone{}, fmt.Errorf("zone %.*q: a name has %d bytes at most", maxName, z.Name, maxName)
	}
	var err error
	if z.Offset, err = parseOffset(words[1]); err != nil {
		return Zone{}, err
	}
	last := int64(-1)
	for _, word := range words[2:] {
		at, offset, _ := strings.Cut(word, "=")
		seconds, err := strconv.ParseInt(at, 10, 40)
		if err != nil || seconds <= last {
			return Zone{}, fmt.Errorf("zone %s: transition %.*q: seconds since 1970 in ascending order are needed", z.Name, maxName, word)
		}
		t := Transition{At: Time(seconds * 1_000_000)}
		if t.Offset, err = parseOffset(offset); err != nil {
			return Zone{}, err
		}
		z.Transitions, last = append(z.Transitions, t), seconds
	}
	return z, nil
}

// longestOffset is beyond any zone on Earth.
const longestOffset = 15 * time.Hour

func parseOffset(text string) (time.Duration, error) {
	bad := fmt.Errorf("offset %.*q: [+-]hh:mm up to 15:00 is possible", maxName, text)
	if len(text) != len("+00:00") || text[0] != '+' && text[0] != '-' || text[3] != ':' {
		return 0, bad
	}
	hours, err := strconv.ParseUint(text[1:3], 10, 8)
	if err != nil {
		return 0, bad
	}
	minutes, err := strconv.ParseUint(text[4:], 10, 8)
	if err != nil || minutes > 59 {
		return 0, bad
	}
	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if d > longestOffset {
		return 0, bad
	}
	if text[0] == '-' {
		d = -d
	}
	return d, nil
}

// String returns the zone as ParseZone reads it.
func (z Zone) String() string {
	if len(z.Transitions) == 0 && (z.Offset == 0 && z.Name == "UTC" || z.Name == formatOffset(z.Offset)) {
		return z.Name
	}
	var b strings.Builder
	b.WriteString(z.Name + " " + formatOffset(z.Offset))
	for _, t := range z.Transitions {
		fmt.Fprintf(&b, " %d=%s", int64(t.At)/1_000_000, formatOffset(t.Offset))
	}
	return b.String()
}

func formatOffset(d time.Duration) string {
	sign := '+'
	if d < 0 {
		sign, d = '-', -d
	}
	return fmt.Sprintf("%c%02d:%02d", sign, int(d.Hours()), int(d.Minutes())%60)
}

// At returns the offset from UTC at a time.
func (z *Zone) At(t Time) time.Duration {
	i, found := slices.BinarySearchFunc(z.Transitions, t, func(tr Transition, t Time) int {
		return int(min(max(tr.At-t, -1), 1))
	})
	if found {
		i++
	}
	if i == 0 {
		return z.Offset
	}
	return z.Transitions[i-1].Offset
}

// Day returns the number of the zone's day that a time is in, counted from 1970.
func (z *Zone) Day(t Time) int32 {
	const microseconds = int64(day) * 1_000_000
	local := int64(t.Add(z.At(t)))
	n := local / microseconds
	if local%microseconds < 0 {
		n--
	}
	return int32(n)
}
