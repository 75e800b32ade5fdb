package mailertest

import (
	"maps"
	"reflect"
	"slices"

	"github.com/seed355143d4/mailer"
)

// clone copies m as deep as [Recorder.Send] says.
func clone(m mailer.Message) mailer.Message {
	m.To = slices.Clone(m.To)
	m.Cc = slices.Clone(m.Cc)
	m.Bcc = slices.Clone(m.Bcc)
	m.ReplyTo = slices.Clone(m.ReplyTo)
	m.Attachments = slices.Clone(m.Attachments)
	for i := range m.Attachments {
		m.Attachments[i].Content = slices.Clone(m.Attachments[i].Content)
	}
	m.Headers = maps.Clone(m.Headers)
	m.Tags = slices.Clone(m.Tags)
	m.Metadata = maps.Clone(m.Metadata)
	m.Template.Data = cloner{}.value(reflect.ValueOf(m.Template.Data)).Interface().(map[string]any)
	m.Extras = slices.Clone(m.Extras)
	return m
}

// cloner holds the copies made, so that a value which holds itself ends.
type cloner map[ref]reflect.Value

type ref struct {
	typ reflect.Type
	at  uintptr
	len int
}

// value copies maps and slices, and those in them.
func (k cloner) value(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		return k.value(v.Elem())
	case reflect.Map, reflect.Slice:
	default:
		return v
	}
	if v.IsNil() {
		return v
	}
	key := ref{v.Type(), v.Pointer(), v.Len()}
	if c, ok := k[key]; ok {
		return c
	}
	if v.Kind() == reflect.Map {
		c := reflect.MakeMapWithSize(v.Type(), v.Len())
		k[key] = c
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(it.Key(), k.value(it.Value()))
		}
		return c
	}
	c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	k[key] = c
	reflect.Copy(c, v)
	switch v.Type().Elem().Kind() {
	case reflect.Interface, reflect.Map, reflect.Slice:
		for i := range v.Len() {
			c.Index(i).Set(k.value(v.Index(i)))
		}
	}
	return c
}
