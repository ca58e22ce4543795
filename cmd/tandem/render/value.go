package render

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tandem/billing"
	"tandem/node/api/client"
)

// Text prints a value for people: thousands apart, times in the printer's zone,
// "yes" or nothing for flags. A zero time and an empty list are nothing.
func (p Printer) Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return "yes"
		}
		return ""
	case client.Time:
		return p.Time(v)
	case []string:
		return strings.Join(v, ", ")
	case int:
		return Group(strconv.Itoa(v))
	case uint64:
		return Group(strconv.FormatUint(v, 10))
	case uint32:
		return Group(strconv.FormatUint(uint64(v), 10))
	case billing.Amount:
		return Group(v.String())
	case client.Seconds:
		return duration(v.Duration())
	}
	return fmt.Sprint(v)
}

// Plain prints a value for programs: RFC 3339, plain numbers, seconds.
func Plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []string:
		return strings.Join(v, " ")
	case client.Seconds:
		return strconv.FormatFloat(v.Duration().Seconds(), 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// Time prints a time in the printer's zone, with the zone's name.
func (p Printer) Time(t client.Time) string {
	if t.IsZero() {
		return ""
	}
	zone := p.Zone
	if zone == nil {
		zone = time.UTC
	}
	return t.In(zone).Format("2006-01-02 15:04:05 MST")
}

// Group sets thousands of a decimal number apart: "918221.50" is "918 221.50".
func Group(s string) string {
	digits, sign := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	var b strings.Builder
	if sign {
		b.WriteByte('-')
	}
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	if point {
		b.WriteString("." + fraction)
	}
	return b.String()
}

// duration prints whole seconds as time.Duration does, and what is shorter than
// ten of them with milliseconds.
func duration(d time.Duration) string {
	if d.Abs() < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// isNumber says whether a value stands right in its column.
func isNumber(v any) bool {
	switch v.(type) {
	case int, int32, uint16, uint32, uint64, billing.Amount, billing.Price, client.Seconds, time.Duration:
		return true
	}
	return false
}

// The escapes of a terminal (ECMA-48 SGR).
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

func (p Printer) paint(escape, s string) string {
	if !p.Color {
		return s
	}
	return escape + s + plain
}

// Bold marks a head.
func (p Printer) Bold(s string) string { return p.paint(bold, s) }

// Good marks what is well.
func (p Printer) Good(s string) string { return p.paint(green, s) }

// Warn marks what needs attention.
func (p Printer) Warn(s string) string { return p.paint(yellow, s) }

// Bad marks what is broken.
func (p Printer) Bad(s string) string { return p.paint(red, s) }
