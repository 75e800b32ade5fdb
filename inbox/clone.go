package inbox

import (
	"reflect"
	"strings"

	"github.com/seed355143d4/mailer"
)

// clone copies m and everything reachable from it, and counts the bytes. It gives
// up, with false, as soon as they are more than limit.
func clone(m mailer.Message, limit int64) (c mailer.Message, size int64, ok bool) {
	k := cloner{left: limit}
	c = k.value(reflect.ValueOf(m), 0).Interface().(mailer.Message)
	return c, limit - k.left, k.left >= 0
}

type cloner struct{ left int64 }

// maxDepth bounds the walk through Template.Data, where a value may hold itself.
// Deeper values are shared, not copied.
const maxDepth = 100

// mapEntry is what a map takes for an entry, roughly.
const mapEntry = 32

func (k *cloner) value(v reflect.Value, depth int) reflect.Value {
	if depth > maxDepth || k.left < 0 {
		return v
	}
	switch v.Kind() {
	case reflect.String:
		if k.take(v.Len()) {
			return reflect.ValueOf(strings.Clone(v.String())).Convert(v.Type())
		}
	case reflect.Slice:
		if v.IsNil() || !k.take(v.Len()*int(v.Type().Elem().Size())) {
			return v
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				c.Index(i).Set(k.value(v.Index(i), depth+1))
			}
		}
		return c
	case reflect.Map:
		if v.IsNil() || !k.take(v.Len()*mapEntry) {
			return v
		}
		c := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(k.value(it.Key(), depth+1), k.value(it.Value(), depth+1))
		}
		return c
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type()).Elem()
		c.Set(k.value(v.Elem(), depth+1))
		return c
	case reflect.Pointer:
		if v.IsNil() || !k.take(int(v.Type().Elem().Size())) {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(k.value(v.Elem(), depth+1))
		return c
	case reflect.Array:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				c.Index(i).Set(k.value(v.Index(i), depth+1))
			}
		}
		return c
	case reflect.Struct:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				c.Field(i).Set(k.value(v.Field(i), depth+1))
			}
		}
		return c
	}
	return v
}

// take counts n bytes and reports whether they are still within the limit.
func (k *cloner) take(n int) bool {
	k.left -= int64(n)
	return k.left >= 0
}
