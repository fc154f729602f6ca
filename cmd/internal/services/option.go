package services

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/yamlfile"
)

// The bounds of options.
const (
	most       = 1000 // runs at the same time, attempts, and priorities both ways
	mostRuns   = 1_000_000
	maxTimeout = 7 * 24 * time.Hour
	maxBackoff = 24 * time.Hour
)

// readOption takes in one field that is the worker's to heed.
func (d *Definition) readOption(e yamlfile.Entry) (err error) {
	switch e.Name {
	case "description":
		d.Description, err = e.Line()
	case "version":
		d.Version, err = version(e)
	case "concurrency":
		d.Concurrency, err = e.Number(1, most)
	case "fleet":
		d.Fleet, err = e.Number(1, most)
	case "rate":
		d.Rate, err = readRate(e)
	case "priority":
		d.Priority, err = e.Number(-most, most)
	case "timeout":
		d.Timeout, err = e.Duration(maxTimeout)
	case "attempts":
		d.Attempts, err = e.Number(1, most)
	case "backoff":
		d.Backoff, err = e.Duration(maxBackoff)
	case "max_backoff":
		d.MaxBackoff, err = e.Duration(maxBackoff)
	default:
		err = e.Refuse("", "there is no such field; there are "+fields)
	}
	return err
}

// version is what micro services take for one: https://semver.org.
func version(e yamlfile.Entry) (string, error) {
	text, err := e.Text()
	if err != nil {
		return "", err
	}
	const number, word = `(0|[1-9]\d*)`, `[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*`
	const prerelease = `(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)`
	ok, err := regexp.MatchString(`^`+number+`\.`+number+`\.`+number+`(-`+prerelease+`(\.`+prerelease+`)*)?(\+`+word+`)?$`, text)
	if err != nil || !ok {
		return "", e.Refuse(text, "use a semantic version, three numbers such as 1.4.0")
	}
	return text, nil
}

func readRate(e yamlfile.Entry) (float64, error) {
	text, err := e.Text()
	if err != nil {
		return 0, err
	}
	rate, err := ParseRate(text)
	if err != nil {
		return 0, e.Refuse(text, err.Error())
	}
	return rate, nil
}

// ParseRate reads how many runs may start in a time, "10/s", "100/m", "5/h" or
// "1/d", and gives it in runs per second. The error says what is accepted.
func ParseRate(text string) (float64, error) {
	count, unit, _ := strings.Cut(text, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
	n, err := strconv.Atoi(count)
	if err != nil || seconds == 0 || n < 1 || n > mostRuns {
		return 0, errors.New("use a whole number of runs from 1 to 1000000 per s, m, h or d, such as 10/s or 100/m")
	}
	return float64(n) / seconds, nil
}
