//go:build race

package main

// raceDetector has the process under test built as the test itself is.
const raceDetector = true
