package main

import (
	"cmp"
	"slices"
	"time"
)

// Figures are what one run of an entrant has come to, or the medians of several.
// Lateness is in milliseconds, and below zero for what came before its time.
type Figures struct {
	Create    float64 `json:"create_per_second"`
	Burst     float64 `json:"burst_per_second"`
	BurstP50  float64 `json:"burst_p50_ms"`
	BurstP99  float64 `json:"burst_p99_ms"`
	SteadyP50 float64 `json:"steady_p50_ms"`
	SteadyP99 float64 `json:"steady_p99_ms"`
	SteadyMax float64 `json:"steady_max_ms"`
	// Early is which part of the steady jobs came before they were due.
	Early float64 `json:"early"`
	// Lost and Again are how many jobs never came, and came once more, in all.
	Lost  int `json:"lost"`
	Again int `json:"again"`
}

// burst notes a batch that was due at one instant.
func (f *Figures) burst(a act) {
	late := a.lateness()
	f.Create = float64(a.batch.N) / a.creating.Seconds()
	f.Burst = float64(len(late)) / a.ended.Sub(a.batch.Due).Seconds()
	f.BurstP50, f.BurstP99 = milliseconds(quantile(late, 0.5)), milliseconds(quantile(late, 0.99))
	f.Lost, f.Again = f.Lost+a.arrivals.lost(), f.Again+a.arrivals.Again
}

// steady notes a batch of jobs each with a time of its own.
func (f *Figures) steady(a act) {
	late := a.lateness()
	f.SteadyP50, f.SteadyP99, f.SteadyMax = milliseconds(quantile(late, 0.5)), milliseconds(quantile(late, 0.99)), milliseconds(quantile(late, 1))
	early, _ := slices.BinarySearch(late, 0)
	f.Early = float64(early) / float64(max(len(late), 1))
	f.Lost, f.Again = f.Lost+a.arrivals.lost(), f.Again+a.arrivals.Again
}

// lateness gives how late each job came that came at all, sorted.
func (a act) lateness() []time.Duration {
	var all []time.Duration
	for i, came := range a.arrivals.Times {
		if came != 0 {
			all = append(all, time.Unix(0, came).Sub(a.batch.At(i)))
		}
	}
	slices.Sort(all)
	return all
}

// lost counts what never came.
func (a arrivals) lost() (n int) {
	for _, t := range a.Times {
		if t == 0 {
			n++
		}
	}
	return n
}

// quantile of sorted values; 0 if there are none.
func quantile[T cmp.Ordered](sorted []T, q float64) (zero T) {
	if len(sorted) == 0 {
		return zero
	}
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// medians makes one of the runs' figures, each figure for itself; what was lost
// and came again is added up.
func medians(runs []Figures) Figures {
	m := Figures{
		Create:    median(runs, func(f Figures) float64 { return f.Create }),
		Burst:     median(runs, func(f Figures) float64 { return f.Burst }),
		BurstP50:  median(runs, func(f Figures) float64 { return f.BurstP50 }),
		BurstP99:  median(runs, func(f Figures) float64 { return f.BurstP99 }),
		SteadyP50: median(runs, func(f Figures) float64 { return f.SteadyP50 }),
		SteadyP99: median(runs, func(f Figures) float64 { return f.SteadyP99 }),
		SteadyMax: median(runs, func(f Figures) float64 { return f.SteadyMax }),
		Early:     median(runs, func(f Figures) float64 { return f.Early }),
	}
	for _, f := range runs {
		m.Lost, m.Again = m.Lost+f.Lost, m.Again+f.Again
	}
	return m
}

func median(runs []Figures, of func(Figures) float64) float64 {
	all := make([]float64, len(runs))
	for i, f := range runs {
		all[i] = of(f)
	}
	slices.Sort(all)
	if n := len(all); n > 0 && n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return quantile(all, 0.5)
}
