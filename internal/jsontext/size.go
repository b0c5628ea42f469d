package jsontext

import (
	"encoding"
	"encoding/json"
	"reflect"
)

// Exceeds reports whether data, encoded as JSON, is certain to have more than
// limit bytes. It allocates nothing for text and bytes, so that a payload far
// beyond the limit is refused without being encoded first; what it cannot tell,
// the encoded length decides.
func Exceeds(data any, limit int) bool {
	s := sizer{left: limit}
	s.value(reflect.ValueOf(data), 0)
	return s.left < 0
}

// sizer counts down a lower bound of the encoded length.
type sizer struct{ left int }

// maxSizeDepth ends the walk through a value that holds itself; the encoder
// reports it.
const maxSizeDepth = 100

func (s *sizer) value(v reflect.Value, depth int) {
	s.left-- // nothing is shorter than one byte
	if s.left < 0 || depth > maxSizeDepth || !v.IsValid() || marshalsItself(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.String:
		s.left -= v.Len()
	case reflect.Interface, reflect.Pointer:
		s.value(v.Elem(), depth+1)
	case reflect.Struct:
		s.fields(v, depth)
	case reflect.Slice, reflect.Array:
		s.list(v, depth)
	case reflect.Map:
		for it := v.MapRange(); s.left >= 0 && it.Next(); {
			s.value(it.Key(), depth+1)
			s.value(it.Value(), depth+1)
		}
	}
}

// fields leaves out what the encoder may leave out: zero values, and embedded
// structs, whose fields can hide one another. It also leaves out what is small,
// since asking for a field's tag costs more than that is worth.
func (s *sizer) fields(v reflect.Value, depth int) {
	for i := 0; i < v.NumField() && s.left >= 0; i++ {
		f := v.Field(i)
		if !f.CanInterface() || small(f) {
			continue
		}
		if t := v.Type().Field(i); !t.Anonymous && t.Tag.Get("json") != "-" {
			s.value(f, depth+1)
		}
	}
}

func small(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Map:
		return v.Len() <= 32 && v.Kind() == reflect.String || v.Len() == 0
	case reflect.Struct, reflect.Array, reflect.Interface, reflect.Pointer:
		return v.IsZero()
	}
	return true
}

func (s *sizer) list(v reflect.Value, depth int) {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		s.left -= v.Len() // base64 is longer
		return
	}
	for i := 0; i < v.Len() && s.left >= 0; i++ {
		s.value(v.Index(i), depth+1)
	}
}

// marshalsItself reports whether the length of a value of type t says nothing
// about its JSON.
func marshalsItself(t reflect.Type) bool {
	if t.PkgPath() == "" && t.Kind() != reflect.Struct {
		return false // built in: no methods
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Marshaler]()) || p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}
