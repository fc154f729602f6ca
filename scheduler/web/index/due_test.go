package index_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func learn(x *index.Index, revision int, key, definition string) {
	x.Learn(kv.Entry[[]byte]{Key: key, Revision: uint64(revision), Created: time.Now(), Value: []byte(definition)})
}

func TestDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := index.New(nil, "", index.Options{})
		for i, s := range []string{
			`{"cron":"*/10 * * * *"}`, `{"cron":"*/10 * * * *"}`, `{"every":"30m"}`, `{"every":"1s"}`,
			`{"at":"2000-01-01T01:00:00Z"}`, `{"cron":"*/10 * * * *","jitter":"5m"}`, `{"every":"2h"}`,
		} {
			learn(x, i+1, fmt.Sprint("j", i), `{"service":"s","schedule":`+s+`}`)
		}
		learn(x, 99, "off", `{"service":"s","schedule":{"every":"1s"},"active":false}`)
		from := time.Now().UTC()
		slots, err := x.Due(from, from.Add(3*time.Hour), 3)
		if err != nil {
			t.Fatal(err)
		}
		type slot struct {
			from  time.Time
			count int
			more  bool
			top   string
		}
		var got []slot
		for _, s := range slots {
			top := ""
			for _, j := range s.Top {
				top += j.Key
			}
			got = append(got, slot{s.From, s.Count, s.More, top})
		}
		want := []slot{
			{from, 6 + 6 + 1 + 1000 + 6, true, "j3j0j1j5j2"},
			{from.Add(time.Hour), 6 + 6 + 2 + 1000 + 1 + 6, true, "j3j0j1j5j2"},
			{from.Add(2 * time.Hour), 6 + 6 + 2 + 1000 + 6 + 1, true, "j3j0j1j5j2"},
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(slot{})); diff != "" {
			t.Error(diff)
		}

		learn(x, 100, "more", `{"service":"s","schedule":{"every":"1m"}}`)
		again, _ := x.Due(from, from.Add(3*time.Hour), 3)
		if again[0].Count != slots[0].Count {
			t.Error("counted anew within half a minute")
		}
		time.Sleep(30 * time.Second)
		if again, _ = x.Due(from, from.Add(3*time.Hour), 3); again[0].Count != slots[0].Count+59 {
			t.Errorf("%d, and %d before", again[0].Count, slots[0].Count)
		}
		for i := range 200 {
			if _, err := x.Due(from, from.Add(time.Hour), 1+i); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range []int{-1, 0, 1001} {
			if _, err := x.Due(from, from.Add(time.Hour), n); scheduler.Code(err) != 400 {
				t.Errorf("%d slots: %v", n, err)
			}
		}
		if _, err := x.Due(from, from, 1); scheduler.Code(err) != 400 {
			t.Error(err)
		}
	})
}

// The slots leave out nothing of what is due between their ends.
func TestDueAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := index.New(nil, "", index.Options{})
		schedule := rapid.SampledFrom([]string{
			`{"every":"7m"}`, `{"every":"7m","jitter":"6m"}`, `{"cron":"*/5 1-3 * * *"}`, `{"cron":"0 30 2 * * *","jitter":"1h"}`,
			`{"every":"1h","start":"2026-01-01T05:00:00Z","end":"2026-01-01T09:00:00Z"}`,
		})
		from := time.Date(2026, 1, 1, 0, 0, rapid.IntRange(0, 7200).Draw(t, "from"), 0, time.UTC)
		to := from.Add(time.Duration(rapid.IntRange(1, 20*3600).Draw(t, "length")) * time.Second)
		want := 0
		for i := range rapid.IntRange(1, 4).Draw(t, "jobs") {
			text := `{"service":"s","anchor":"2026-01-01T00:00:00Z","schedule":` + schedule.Draw(t, "schedule") + `}`
			key := fmt.Sprint("j", i)
			learn(x, i+1, key, text)
			j, err := scheduler.ReadStored(key, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			p, err := j.Schedule.Compile(j.Anchor.UnixMilli())
			if err != nil {
				t.Fatal(err)
			}
			n, _, _, _ := p.Between(key, from.UnixMilli(), to.UnixMilli(), 1000)
			want += n
		}
		slots, err := x.Due(from, to, rapid.IntRange(1, 50).Draw(t, "slots"))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, s := range slots {
			got += s.Count
		}
		if got != want {
			t.Fatalf("%d in the slots, %d in all", got, want)
		}
	})
}
