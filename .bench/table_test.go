package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 7.4: "7", 999.4: "999", 1234: "1,230", 99_960: "100,000", 1_234_567: "1,230,000"} {
		if got := count(f); got != want {
			t.Errorf("count(%v) = %s, want %s", f, got, want)
		}
	}
}

func TestLate(t *testing.T) {
	for ms, want := range map[float64]string{0: "0.0", 0.26: "0.3", 9.94: "9.9", 12.3: "12", -482.2: "−482", -0.4: "−0.4", 4321: "4,320"} {
		if got := late(ms); got != want {
			t.Errorf("late(%v) = %s, want %s", ms, got, want)
		}
	}
}

func TestFigures(t *testing.T) {
	due := time.Unix(100, 0)
	a := act{
		batch:    Batch{First: 7, N: 4, Due: due, Step: 10 * time.Millisecond},
		creating: 2 * time.Second,
		arrivals: arrivals{Again: 2, Times: []int64{
			due.Add(3 * time.Millisecond).UnixNano(), // 3 ms late
			due.Add(5 * time.Millisecond).UnixNano(), // 5 ms early
			0,                                        // lost
			due.Add(40 * time.Millisecond).UnixNano(), // 10 ms late
		}},
		ended: due.Add(time.Second),
	}
	var f Figures
	f.burst(a)
	f.steady(a)
	want := Figures{Create: 2, Burst: 3, BurstP50: 3, BurstP99: 10, SteadyP50: 3, SteadyP99: 10, SteadyMax: 10, Early: 1. / 3, Lost: 2, Again: 4}
	if f != want {
		t.Errorf("got  %+v\nwant %+v", f, want)
	}
}

func TestMedians(t *testing.T) {
	m := medians([]Figures{{Create: 5, Burst: 1, Lost: 1}, {Create: 1, Burst: 9}, {Create: 3, Burst: 2, Lost: 2}})
	if want := (Figures{Create: 3, Burst: 2, Lost: 3}); m != want {
		t.Errorf("got %+v, want %+v", m, want)
	}
	if m := median([]Figures{{Create: 1}, {Create: 4}}, func(f Figures) float64 { return f.Create }); m != 2.5 {
		t.Errorf("the median of 1 and 4 is %v", m)
	}
	if m := medians(nil); m != (Figures{}) {
		t.Errorf("of nothing: %+v", m)
	}
}

func TestPayload(t *testing.T) {
	p := Batch{First: 40}.Payload(2)
	if n, err := numberOf(p); n != 42 || err != nil || len(p) != payloadLen {
		t.Errorf("%q is %d, %v", p, n, err)
	}
	if _, err := numberOf("x"); err == nil {
		t.Error("x is a number")
	}
}

func TestLedger(t *testing.T) {
	l := newLedger()
	l.handle("0") // nobody has expected it
	l.expect(order{First: 5, N: 3, Due: time.Now()})
	for _, p := range []string{"4", "5", "7", "7", "x"} {
		l.handle(p)
	}
	l.wait(0)
	if a := l.arrivals(); a.lost() != 1 || a.Again != 1 || l.strange != 3 {
		t.Errorf("%d lost, %d again, %d strange", a.lost(), a.Again, l.strange)
	}
	l.handle("6")
	l.wait(time.Hour)
}

func TestChosen(t *testing.T) {
	some, err := chosen("gocron,bellhop")
	if err != nil || len(some) != 3 || some[0].Name != "gocron" {
		t.Errorf("%d chosen, %v", len(some), err)
	}
	if all, err := chosen(""); err != nil || len(all) != len(Entrants()) {
		t.Errorf("%d chosen, %v", len(all), err)
	}
	if _, err := chosen("cron"); err == nil || !strings.Contains(err.Error(), "asynq, bellhop, gocron, nats-schedules, river") {
		t.Errorf("for cron: %v", err)
	}
	for _, e := range Entrants() {
		if found, err := entrantNamed(e.Name); err != nil || found.Syncs != e.Syncs {
			t.Errorf("%s: %v", e.Name, err)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, args := range []string{"x", "-n 0", "-rate 1001", "-runs 0", "-o yaml", "-only cron", "-killed -1"} {
		if err := run(t.Context(), strings.Fields(args), new(strings.Builder), new(strings.Builder)); err == nil {
			t.Errorf("%s is taken", args)
		}
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("before\n" + beginMark + "old\n" + endMark + "after\n")
	if err := write(path, "new\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "before\n"+beginMark+"new\n"+endMark+"after\n" {
		t.Errorf("written: %q, %v", got, err)
	}
	put("nothing\n")
	if err := write(path, "new\n"); err == nil {
		t.Error("a file without marks is written")
	}
}

// TestTable has rows of all kinds in it.
func TestTable(t *testing.T) {
	table := Table{
		Machine: Machine{Date: "2026-01-02", Cores: 2, CPU: "a CPU", Memory: "4 GiB", System: "a system", Versions: []string{"go1", "x 2"}},
		Plan:    Plan{N: 100, Rate: 10, Seconds: 1},
		Rows: []Row{
			{Name: "one", Syncs: "never", Runs: 1, Figures: Figures{Create: 1234, SteadyP50: -400, Early: 0.5, Lost: 1}, Kept: "none"},
			{Name: "two", Skipped: "skipped: no | here"},
		},
	}
	text := table.Markdown()
	for _, want := range []string{
		"2 cores (a CPU)", "go1, x 2", "One run: a burst of 100", "| one | never | 1,230 | ", "| −400 |", "| none |",
		"| two |  | skipped: no ¦ here |", "one: 50% of", "one: 1 jobs never came",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	if j, err := table.JSON(); err != nil || !strings.Contains(j, `"create_per_second": 1234`) {
		t.Errorf("%s, %v", j, err)
	}
}
