package client

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// timeFormat is RFC 3339 in UTC with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// Time is a point in log time. In JSON it is RFC 3339 in UTC with milliseconds;
// the zero Time is left out.
type Time struct{ time.Time }

// MarshalText prints the time with milliseconds.
func (t Time) MarshalText() ([]byte, error) {
	return t.UTC().AppendFormat(nil, timeFormat), nil
}

// UnmarshalText reads RFC 3339.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("time %q: want RFC 3339, such as 2026-11-21T10:42:07Z", text)
	}
	t.Time = parsed.UTC()
	return nil
}

// MarshalJSON prints the time as a string with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"`+timeFormat+`"`), nil
}

// UnmarshalJSON reads RFC 3339.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	return t.UnmarshalText([]byte(s))
}

// String prints the time as in JSON, or nothing for the zero Time.
func (t Time) String() string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeFormat)
}

// Seconds is a length of time. In JSON it is a number of seconds.
type Seconds time.Duration

// Duration returns s as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// String prints as time.Duration does.
func (s Seconds) String() string { return time.Duration(s).String() }

// MarshalJSON prints seconds with as many decimals as it takes, at most six.
func (s Seconds) MarshalJSON() ([]byte, error) {
	us := time.Duration(s).Microseconds()
	sign := ""
	if us < 0 {
		sign, us = "-", -us
	}
	text := fmt.Sprintf("%s%d.%06d", sign, us/1_000_000, us%1_000_000)
	return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
}

// UnmarshalJSON reads a number of seconds.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f > maxSeconds || f < -maxSeconds {
		return fmt.Errorf("duration %s: want a number of seconds", b)
	}
	*s = Seconds(time.Duration(math.Round(f*1e6)) * time.Microsecond)
	return nil
}

// maxSeconds is the longest duration that is read, about 290 years in
// time.Duration's range.
const maxSeconds = 9e9
