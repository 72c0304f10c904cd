// Package export_wit_world implements what the world in wit/hello.wit exports by itself. An interface NAME would be
// implemented by a package export_NAME beside this one; what the world imports is in hello/imports/NAME.
package export_wit_world

// Greet is the number that follows.
func Greet(number int32) int32 {
	return number + 1
}
