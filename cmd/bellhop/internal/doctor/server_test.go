package doctor

import "testing"

func TestVersion(t *testing.T) {
	for v, want := range map[string]string{
		"2.9.25": fail, "2.11.9": fail, "2.12.0": fail,
		"2.12.1": warn, "2.13.0": warn, "soon": warn, "2.x": warn,
		"2.14.0": ok, "2.14.0-RC.1": ok, "2.15.2": ok, "2.100.0": ok, "3.0.0": ok,
	} {
		f := version(v)
		if f.Level != want || (f.Do == "") != (want == ok) {
			t.Errorf("%s: %+v, want %s", v, f, want)
		}
	}
}
