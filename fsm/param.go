package fsm

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/billing"
	"tandem/fsm/number"
)

// ErrParameter: there is no system parameter of a name.
var ErrParameter = errors.New("unknown parameter")

// ParameterKind says what the values of a parameter look like.
type ParameterKind uint8

// The kinds of parameters.
const (
	ParameterFlag     ParameterKind = 1 + iota // 0 or 1
	ParameterCount                             // a whole number
	ParameterTime                              // a whole number of Unit
	ParameterMoney                             // an amount
	ParameterChoice                            // one of Choices
	ParameterLengths                           // lengths of numbers, see number.ParseLengths
	ParameterNetworks                          // networks, with commas between them
	ParameterZone                              // a time zone, see ParseZone
	ParameterName                              // letters, digits and . _ -
)

// None is the value of a parameter that is off.
const None = "None"

// Parameter describes one system parameter (F220).
type Parameter struct {
	Name     string
	Aliases  []string // other names under which it can be read and set
	Group    string
	Kind     ParameterKind
	Unit     string // "s", "ms", "min", "calls", ...; empty: it has none
	Min, Max int64  // of counts and times
	Optional bool   // may be None: off
	Choices  []string
	Default  string
	Vendor   string // the vendor's default; empty: not stated, or a parameter of ours
	About    string

	none  int64             // what None is in Params
	field func(*Params) any // where its value goes; nil: see Pending
}

// Pending reports that the parameter is kept and shown, for those who bring
// their settings along, while nothing reads it yet.
func (p *Parameter) Pending() bool { return p.field == nil }

// LookupParameter returns a parameter by its name or an alias, in any case of
// letters. The error wraps [ErrParameter].
func LookupParameter(name string) (Parameter, error) {
	key := strings.ToUpper(strings.TrimSpace(name))
	for _, p := range Registry() {
		if p.Name == key || slices.Contains(p.Aliases, key) {
			return p, nil
		}
	}
	return Parameter{}, fmt.Errorf("parameter %.*q: %w", maxName, name, ErrParameter)
}

// ParseParameter checks a value for a parameter and returns both in the form
// that the state keeps. The error names the values that are possible.
func ParseParameter(name, value string) (canonical, normalised string, err error) {
	p, err := LookupParameter(name)
	if err != nil {
		return "", "", err
	}
	normalised, err = p.Parse(value)
	return p.Name, normalised, err
}

// Parse returns a value in the form that the state keeps. The error names the
// parameter and the values that are possible.
func (p *Parameter) Parse(value string) (string, error) {
	v, err := p.parse(value)
	if err != nil {
		return "", fmt.Errorf("parameter %s: %.*q: %w", p.Name, maxMemo, value, err)
	}
	return v.text, nil
}

// parsed is a value of a parameter: as text, and in the type of its kind.
type parsed struct {
	text     string
	n        int64 // flag, count, time, amount, lengths, index of the choice
	networks []Prefix
	zone     Zone
}

func (p *Parameter) parse(value string) (parsed, error) {
	value = strings.TrimSpace(value)
	if p.Optional && (value == "" || strings.EqualFold(value, None) || strings.EqualFold(value, "off")) {
		return parsed{text: None, n: p.none}, nil
	}
	switch p.Kind {
	case ParameterFlag:
		return parseFlag(value)
	case ParameterMoney:
		a, err := billing.ParseAmount(value)
		return parsed{text: a.String(), n: int64(a)}, err
	case ParameterChoice:
		for i, choice := range p.Choices {
			if strings.EqualFold(choice, value) {
				return parsed{text: choice, n: int64(i)}, nil
			}
		}
		return parsed{}, fmt.Errorf("one of %s is possible", strings.Join(p.Choices, ", "))
	case ParameterLengths:
		l, err := number.ParseLengths(value)
		return parsed{text: l.String(), n: int64(l)}, err
	case ParameterNetworks:
		return parseNetworks(value)
	case ParameterZone:
		z, err := ParseZone(value)
		return parsed{text: z.String(), zone: z}, err
	case ParameterName:
		if !isName(value) || strings.EqualFold(value, None) {
			return parsed{}, errors.New(p.Range() + " are possible")
		}
		return parsed{text: value}, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < p.Min || n > p.Max {
		return parsed{}, errors.New(p.Range() + " is possible")
	}
	return parsed{text: strconv.FormatInt(n, 10), n: n}, nil
}

// Range says in words which values are possible.
func (p *Parameter) Range() string {
	var s string
	switch p.Kind {
	case ParameterFlag:
		s = "0 or 1"
	case ParameterMoney:
		s = "an amount"
	case ParameterChoice:
		s = strings.Join(p.Choices, ", ")
	case ParameterLengths:
		s = fmt.Sprintf("lengths from 1 to %d, such as 15 or 3-15,17", number.MaxDigits)
	case ParameterNetworks:
		s = "networks, such as 192.0.2.0/24, 2001:db8::/32"
	case ParameterZone:
		s = "a time zone with its offsets"
	case ParameterName:
		s = fmt.Sprintf("letters, digits and . _ -, at most %d of them", maxName)
	default:
		s = strings.TrimSpace(fmt.Sprintf("a whole number from %d to %d %s", p.Min, p.Max, p.Unit))
	}
	if p.Optional {
		s += ", or " + None
	}
	return s
}

func parseFlag(value string) (parsed, error) {
	switch strings.ToLower(value) {
	case "1", "on", "yes", "true":
		return parsed{text: "1", n: 1}, nil
	case "0", "off", "no", "false":
		return parsed{text: "0"}, nil
	}
	return parsed{}, errors.New("0 or 1 is possible")
}

func parseNetworks(value string) (parsed, error) {
	var v parsed
	var texts []string
	for text := range strings.SplitSeq(value, ",") {
		network, err := ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return parsed{}, err
		}
		v.networks = append(v.networks, network)
		texts = append(texts, network.String())
	}
	if len(v.networks) > maxAddrs {
		return parsed{}, fmt.Errorf("%d networks, at most %d are possible", len(v.networks), maxAddrs)
	}
	v.text = strings.Join(texts, ", ")
	return v, nil
}

// DefaultParams returns the parameters of a state in which none was set.
func DefaultParams() Params {
	var p Params
	for _, r := range Registry() {
		v, err := r.parse(r.Default)
		if err != nil {
			panic(fmt.Sprintf("fsm: default of parameter %s: %v", r.Name, err))
		}
		r.assign(&p, v)
	}
	return p
}

// ParamsOf returns the defaults with some parameters set, by name and value.
func ParamsOf(values iter.Seq2[string, string]) (Params, error) {
	p := DefaultParams()
	for name, value := range values {
		var err error
		if p, err = p.With(name, value); err != nil {
			return Params{}, err
		}
	}
	return p, nil
}

// With returns the parameters with one of them changed, by its name or an alias.
func (p Params) With(name, value string) (Params, error) {
	r, err := LookupParameter(name)
	if err != nil {
		return p, err
	}
	v, err := r.parse(value)
	if err != nil {
		return p, fmt.Errorf("parameter %s: %.*q: %w", r.Name, maxMemo, value, err)
	}
	r.assign(&p, v)
	return p, nil
}

// assign stores a value in the field that belongs to the parameter.
func (p *Parameter) assign(params *Params, v parsed) {
	if p.field == nil {
		return
	}
	switch f := p.field(params).(type) {
	case *bool:
		*f = v.n == 1
	case *uint32:
		*f = uint32(v.n)
	case *time.Duration:
		*f = time.Duration(v.n) * p.unit()
	case *billing.Amount:
		*f = billing.Amount(v.n)
	case *billing.RoundingMode:
		*f = billing.RoundingMode(v.n)
	case *number.Lengths:
		*f = number.Lengths(v.n)
	case *[]Prefix:
		*f = v.networks
	case *Zone:
		*f = v.zone
	case *string:
		*f = v.text
	default:
		panic(fmt.Sprintf("fsm: parameter %s has a field of type %T", p.Name, f))
	}
}

func (p *Parameter) unit() time.Duration {
	switch p.Unit {
	case "ms":
		return time.Millisecond
	case "min":
		return time.Minute
	}
	return time.Second
}

// unlimited is what None is for counts of which 0 is one.
const unlimited = math.MaxUint32
