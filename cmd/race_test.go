//go:build race

package cmd_test

// raceDetector has the processes under test built as the test itself is.
const raceDetector = true
