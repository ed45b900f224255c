package testenv

import (
	"flag"
	"fmt"
	"strconv"
)

// AtOnce has so many tests of a package run beside each other, unless go test is told a number with -parallel; without it,
// there are as many as processors. TestMain calls it, before it runs anything and without having parsed flags, where tests
// spend much of their time waiting: for other processes, for services that publish once in a second, for registries.
func AtOnce(tests int) {
	if err := flag.Set("test.parallel", strconv.Itoa(tests)); err != nil {
		panic(fmt.Sprintf("testenv: only a test program has tests: %v", err))
	}
}
