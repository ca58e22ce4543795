package settings

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/billing"
	"tandem/node/api/client"
)

// isText says whether values of a type are read from a text as a whole.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// parse reads a text into a value.
func parse(v reflect.Value, s string) error {
	switch p := v.Addr().Interface().(type) {
	case *client.Seconds:
		d, err := ParseSeconds(s)
		*p = d
		return err
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(s))
	case *[]string:
		*p = split(s)
		return nil
	case *[]client.Transform:
		t, err := transforms(s)
		*p = t
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
		return nil
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		v.SetBool(b)
		return bare(err)
	case reflect.Int32:
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		v.SetInt(n)
		return bare(err)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, v.Type().Bits())
		v.SetUint(n)
		return bare(err)
	}
	panic("settings: no text for " + v.Type().String())
}

// bare takes the name of the Go function off a number's error.
func bare(err error) error {
	var e *strconv.NumError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// text is the inverse of parse.
func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case client.Seconds:
		return x.String()
	case []string:
		return join(x)
	case []client.Transform:
		parts := make([]string, len(x))
		for i, t := range x {
			parts[i] = t.From + ":" + t.To
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v.Interface())
}

// ParseSeconds reads "90s", "1h30m", or a number of seconds.
func ParseSeconds(s string) (client.Seconds, error) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return client.Seconds(time.Duration(n) * time.Second), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 90s or 1h30m", s)
	}
	return client.Seconds(d), nil
}

// anyNumber stands for the empty prefix, which every number has. No prefix has
// letters.
const anyNumber = "any"

// split reads a list with commas.
func split(s string) []string {
	if s == "" {
		return []string{}
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		if parts[i] = strings.TrimSpace(parts[i]); parts[i] == anyNumber {
			parts[i] = ""
		}
	}
	return parts
}

// join is the inverse of split.
func join(list []string) string {
	parts := slices.Clone(list)
	for i := range parts {
		if parts[i] == "" {
			parts[i] = anyNumber
		}
	}
	return strings.Join(parts, ",")
}

// transforms reads "00:,0:86": what a number begins with, and what replaces it.
func transforms(s string) ([]client.Transform, error) {
	out := []client.Transform{}
	if s == "" {
		return out, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		from, to, ok := strings.Cut(part, ":")
		if !ok {
			return nil, fmt.Errorf("rule %q: want FROM:TO", part)
		}
		out = append(out, client.Transform{From: from, To: to})
	}
	return out, nil
}

// placeholder names a type in the help.
func placeholder(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[client.Seconds]():
		return "duration"
	case reflect.TypeFor[client.Time]():
		return "time"
	case reflect.TypeFor[billing.Amount](), reflect.TypeFor[billing.Price]():
		return "amount"
	case reflect.TypeFor[[]string]():
		return "list"
	case reflect.TypeFor[[]client.Transform]():
		return "from:to,..."
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "bool"
	}
	return "number"
}
