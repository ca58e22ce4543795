package objects

import (
	"encoding"
	"reflect"
	"strings"

	"tandem/billing"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

// The API's objects name their fields in json tags, the decoder of TOML looks at
// toml tags. So it decodes into a shape: a type made of the same fields under
// their JSON names, whose values are then copied over. The decoder's own errors,
// which show line and column, stay what they are.

//
// The decoder stores a whole number in any integer as it is, without asking the
// type: an amount of 500 would be 500 millionths. So what is an integer with a
// meaning is a struct in the shape, for which the decoder has to ask.

// Integers with a meaning, read as texts.
type (
	amount  struct{ it billing.Amount }
	price   struct{ it billing.Price }
	seconds struct{ it client.Seconds } // "90s" as well as 90
)

// UnmarshalText reads an amount.
func (a *amount) UnmarshalText(b []byte) error { return a.it.UnmarshalText(b) }

// UnmarshalText reads a price.
func (p *price) UnmarshalText(b []byte) error { return p.it.UnmarshalText(b) }

// UnmarshalText reads a duration.
func (s *seconds) UnmarshalText(b []byte) (err error) {
	s.it, err = settings.ParseSeconds(string(b))
	return err
}

// newShape returns a pointer to an empty shape of what v points to.
func newShape(v any) reflect.Value {
	return reflect.New(shape(reflect.TypeOf(v).Elem()))
}

// shape returns the type to decode a type from.
func shape(t reflect.Type) reflect.Type {
	switch t {
	case reflect.TypeFor[billing.Amount]():
		return reflect.TypeFor[amount]()
	case reflect.TypeFor[billing.Price]():
		return reflect.TypeFor[price]()
	case reflect.TypeFor[client.Seconds]():
		return reflect.TypeFor[seconds]()
	}
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return t
	case t.Kind() == reflect.Pointer:
		return reflect.PointerTo(shape(t.Elem()))
	case t.Kind() == reflect.Slice:
		return reflect.SliceOf(shape(t.Elem()))
	case t.Kind() != reflect.Struct:
		return t
	}
	var fields []reflect.StructField
	for _, f := range leaves(t, nil) {
		fields = append(fields, reflect.StructField{
			Name: f.Name, Type: shape(f.Type), Tag: reflect.StructTag(`toml:"` + jsonName(f) + `"`),
		})
	}
	return reflect.StructOf(fields)
}

// leaves lists the fields of a struct that JSON shows, those of embedded structs
// in their place.
func leaves(t reflect.Type, index []int) []reflect.StructField {
	var out []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		f.Index = append(append([]int{}, index...), i)
		switch {
		case f.Anonymous:
			out = append(out, leaves(f.Type, f.Index)...)
		case jsonName(f) != "-":
			out = append(out, f)
		}
	}
	return out
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// fill copies a shape into what v points to.
func fill(from reflect.Value, v any) { move(reflect.ValueOf(v).Elem(), from) }

func move(to, from reflect.Value) {
	switch v := from.Interface().(type) {
	case amount:
		to.Set(reflect.ValueOf(v.it))
		return
	case price:
		to.Set(reflect.ValueOf(v.it))
		return
	case seconds:
		to.Set(reflect.ValueOf(v.it))
		return
	}
	switch {
	case from.Type() == to.Type():
		to.Set(from)
	case from.Kind() == reflect.Pointer:
		if !from.IsNil() {
			to.Set(reflect.New(to.Type().Elem()))
			move(to.Elem(), from.Elem())
		}
	case from.Kind() == reflect.Slice:
		if !from.IsNil() {
			to.Set(reflect.MakeSlice(to.Type(), from.Len(), from.Len()))
		}
		for i := range from.Len() {
			move(to.Index(i), from.Index(i))
		}
	case from.Kind() == reflect.Struct:
		for i, f := range leaves(to.Type(), nil) {
			move(to.FieldByIndex(f.Index), from.Field(i))
		}
	default:
		panic("objects: no way from " + from.Type().String() + " to " + to.Type().String())
	}
}
