package telemetry

import (
	"strconv"
	"strings"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"go.opentelemetry.io/otel/sdk/trace"
)

// sampler is what OTEL_TRACES_SAMPLER and _ARG ask for; the SDK reads them, too,
// but its parentbased ones know of no links.
func sampler(name, arg string) (trace.Sampler, error) {
	ratio := 1.0
	if strings.HasSuffix(name, "traceidratio") && arg != "" {
		var err error
		if ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, &config.Error{Variable: "OTEL_TRACES_SAMPLER_ARG", Value: arg, Want: "use a number from 0 to 1"}
		}
	}
	root, based := strings.CutPrefix(name, "parentbased_")
	var s trace.Sampler
	switch root {
	case "":
		s, based = trace.AlwaysSample(), true
	case "always_on":
		s = trace.AlwaysSample()
	case "always_off":
		s = trace.NeverSample()
	case "traceidratio":
		s = trace.TraceIDRatioBased(ratio)
	}
	if s == nil || name == "parentbased_" {
		return nil, &config.Error{
			Variable: "OTEL_TRACES_SAMPLER", Value: name,
			Want: "use always_on, always_off or traceidratio, or one of them after parentbased_",
		}
	}
	if based {
		return trace.ParentBased(linkBased{s}), nil
	}
	return s, nil
}

// linkBased samples the root of a trace as the span was that it links to: a run
// as its trigger, or half of each pair would be missing.
type linkBased struct{ trace.Sampler }

// ShouldSample is part of trace.Sampler.
func (l linkBased) ShouldSample(p trace.SamplingParameters) trace.SamplingResult {
	switch {
	case len(p.Links) == 0:
		return l.Sampler.ShouldSample(p)
	case p.Links[0].SpanContext.IsSampled():
		return trace.AlwaysSample().ShouldSample(p)
	}
	return trace.NeverSample().ShouldSample(p)
}
