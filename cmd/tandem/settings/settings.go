// Package settings makes flags of the fields of the API's settings, and texts of
// what changed in them. A field is known by its JSON name: rate_table is the flag
// --rate-table, and its doc tag is the flag's help.
//
// It never talks to the API, and it has no list of fields: what the API gains,
// the command line gains.
//
//	settings.Bind(cmd.Flags(), client.AccountSettings{})
//	...
//	next := old
//	err := settings.Apply(cmd.Flags(), &next)
//	for _, c := range settings.Diff(old, next) { ... }
package settings

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/pflag"
)

// field is one settable value of a struct.
type field struct {
	name  string // as in JSON
	doc   string
	enum  string
	value reflect.Value
}

func (f field) flag() string { return strings.ReplaceAll(f.name, "_", "-") }

// fields lists the settable values of a struct, those of structs inside it too.
// Pointers are left out: they are not for flags.
func fields(v reflect.Value) []field {
	var out []field
	for i := range v.NumField() {
		t := v.Type().Field(i)
		name, _, _ := strings.Cut(t.Tag.Get("json"), ",")
		switch {
		case t.Type.Kind() == reflect.Pointer:
		case isText(t.Type) || t.Type.Kind() != reflect.Struct:
			out = append(out, field{name, t.Tag.Get("doc"), t.Tag.Get("enum"), v.Field(i)})
		default:
			out = append(out, fields(v.Field(i))...)
		}
	}
	return out
}

// Bind adds a flag for each field of the given structs. Fields of the same name
// share one flag and must have the same type.
func Bind(fs *pflag.FlagSet, structs ...any) {
	for _, s := range structs {
		for _, f := range fields(reflect.ValueOf(s)) {
			if old := fs.Lookup(f.flag()); old != nil {
				if held, ok := old.Value.(*flagValue); !ok || held.value.Type() != f.value.Type() {
					panic("settings: flag --" + f.flag() + " has two types")
				}
				continue
			}
			usage := f.doc
			if f.enum != "" {
				usage = strings.TrimPrefix(usage+" ("+strings.ReplaceAll(f.enum, ",", ", ")+")", " ")
			}
			flag := fs.VarPF(&flagValue{reflect.New(f.value.Type()).Elem()}, f.flag(), "", usage)
			if f.value.Kind() == reflect.Bool {
				flag.NoOptDefVal = "true"
			}
		}
	}
}

// Apply copies the flags that were given into the struct that v points to. The
// error names a flag that the struct has no field for.
func Apply(fs *pflag.FlagSet, v any) error {
	known := map[string]reflect.Value{}
	for _, f := range fields(reflect.ValueOf(v).Elem()) {
		known[f.flag()] = f.value
	}
	var err error
	fs.Visit(func(f *pflag.Flag) {
		given, ok := f.Value.(*flagValue)
		if !ok {
			return
		}
		target, ok := known[f.Name]
		if !ok && err == nil {
			err = fmt.Errorf("--%s does not belong here", f.Name)
		}
		if ok {
			target.Set(given.value)
		}
	})
	return err
}

// flagValue is a flag that holds a value of any field's type.
type flagValue struct{ value reflect.Value }

// Set implements pflag.Value.
func (f *flagValue) Set(s string) error { return parse(f.value, s) }

// String implements pflag.Value. The zero value is no default worth showing.
func (f *flagValue) String() string {
	if !f.value.IsValid() || f.value.IsZero() {
		return ""
	}
	return text(f.value)
}

// Type implements pflag.Value: the placeholder in the help.
func (f *flagValue) Type() string { return placeholder(f.value.Type()) }

// Change is a field whose value is another one.
type Change struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
	// Default is what the API takes for nothing; only choices have one.
	Default string `json:"-"`
}

// Diff lists the fields of two structs of one type that differ, in their order.
func Diff(before, after any) []Change {
	was, is := fields(addressable(before)), fields(addressable(after))
	var out []Change
	for i, f := range was {
		if a, b := text(f.value), text(is[i].value); a != b {
			choice, _, _ := strings.Cut(f.enum, ",")
			out = append(out, Change{Name: f.name, Old: a, New: b, Default: choice})
		}
	}
	return out
}

// addressable copies a struct to where its fields can be addressed.
func addressable(v any) reflect.Value {
	p := reflect.New(reflect.TypeOf(v)).Elem()
	p.Set(reflect.ValueOf(v))
	return p
}

// Undo returns the flags that bring the old values back.
func Undo(changes []Change) string {
	args := make([]string, len(changes))
	for i, c := range changes {
		args[i] = "--" + strings.ReplaceAll(c.Name, "_", "-") + "=" + Quote(c.Old)
	}
	return strings.Join(args, " ")
}

// Quote quotes an argument for a shell, when that is needed.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.,:/+@=%", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
