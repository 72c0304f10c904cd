// A program: arguments, streams and an exit status.
package main

import "fmt"

func main() {
	fmt.Println("Hello, world!")
}
