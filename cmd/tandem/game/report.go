package game

import (
	_ "embed"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"tandem/chaos"
)

// page is the report's template: one file, no scripts, nothing from elsewhere.
//
//go:embed report.html
var page string

// The drawing's measures, in units of its view box.
const (
	chartWidth = 1000.0
	laneHeight = 18.0
	plotHeight = 70.0
)

// chart is what the template draws: all lanes share one axis of time.
type chart struct {
	Result
	Verdict  string
	Length   time.Duration
	Ticks    []mark
	Lanes    []lane
	Plots    []plot
	Height   float64
	Schedule string
}

type mark struct {
	X    float64
	Text string
}

// lane is one row of bars.
type lane struct {
	Name string
	Y    float64
	Bars []bar
}

type bar struct {
	X, W        float64
	Class, Text string
}

// plot is one row of values over time.
type plot struct {
	Name   string
	Top    string // the value at the upper edge
	Y      float64
	Line   string // points of a polyline
	Dots   []dot
	Height float64
}

type dot struct {
	X, Y        float64
	Class, Text string
}

// WriteHTML writes the report as one self-contained page.
func WriteHTML(w io.Writer, r Result) error {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return t.Execute(w, draw(r))
}

// draw lays the lanes out.
func draw(r Result) chart {
	c := chart{Result: r, Verdict: "kept", Schedule: strings.TrimSpace(r.Scenario.Faults), Length: time.Duration(r.Scenario.Duration)}
	if !r.Kept() {
		c.Verdict = "broken"
	}
	for _, call := range r.Calls {
		c.Length = max(c.Length, call.Ended, call.Began)
	}
	step := c.Length / 10
	for i := range 11 {
		at := time.Duration(i) * step
		c.Ticks = append(c.Ticks, mark{c.x(at), fmt.Sprintf("%.0fs", at.Seconds())})
	}
	c.nodes()
	c.leaders()
	c.calls()
	c.latency("set-up", func(call chaos.Call) (time.Duration, bool) { return call.Answered - call.Began, call.Answered != 0 })
	c.latency("silence", func(call chaos.Call) (time.Duration, bool) { return call.Gap, call.Gap > 0 })
	return c
}

func (c *chart) x(at time.Duration) float64 {
	return chartWidth * at.Seconds() / max(c.Length.Seconds(), 1)
}

// nodes draws a lane for each node: what struck it, and where it did not answer.
func (c *chart) nodes() {
	for i := range c.Scenario.Nodes {
		name := fmt.Sprintf("n%d", i+1)
		l := lane{Name: name, Y: c.Height}
		for _, s := range c.Struck {
			if slices.ContainsFunc(s.Groups, func(g []string) bool { return slices.Contains(g, name) }) {
				l.Bars = append(l.Bars, bar{c.x(s.From), max(3, c.x(s.To-s.From)), "fault", fmt.Sprintf("%s at %.1fs for %.1fs", s.Kind, s.From.Seconds(), (s.To - s.From).Seconds())})
			}
		}
		for k, s := range c.Samples {
			if i < len(s.Up) && !s.Up[i] && k+1 < len(c.Samples) {
				l.Bars = append(l.Bars, bar{c.x(s.At), c.x(c.Samples[k+1].At - s.At), "silent", "does not answer"})
			}
		}
		c.Lanes = append(c.Lanes, l)
		c.Height += laneHeight + 4
	}
}

// leaders draws who led.
func (c *chart) leaders() {
	l := lane{Name: "leader", Y: c.Height}
	for k := 0; k < len(c.Samples); {
		end := k
		for end < len(c.Samples) && c.Samples[end].Leader == c.Samples[k].Leader {
			end++
		}
		to := c.Length
		if end < len(c.Samples) {
			to = min(to, c.Samples[end].At)
		}
		class, who := "nobody", "nobody"
		if name := c.Samples[k].Leader; name != "" {
			class, who = "leads l"+strings.TrimPrefix(name, "n"), name
		}
		if from := c.Samples[k].At; from < to {
			l.Bars = append(l.Bars, bar{c.x(from), c.x(to - from), class, who})
		}
		k = end
	}
	c.Lanes = append(c.Lanes, l)
	c.Height += laneHeight + 4
}

// calls draws how many were up, and marks those that failed.
func (c *chart) calls() {
	most := 1
	for _, s := range c.Samples {
		most = max(most, s.Calls)
	}
	p := plot{Name: "calls", Top: fmt.Sprint(most), Y: c.Height, Height: plotHeight}
	var line strings.Builder
	for _, s := range c.Samples {
		if s.At <= c.Length && s.Leader != "" {
			fmt.Fprintf(&line, "%.1f,%.1f ", c.x(s.At), p.Y+plotHeight*(1-float64(s.Calls)/float64(most)))
		}
	}
	p.Line = line.String()
	for _, call := range c.Result.Calls {
		switch {
		case call.Answered == 0:
			p.Dots = append(p.Dots, dot{c.x(call.Began), p.Y + plotHeight - 4, "failed", fmt.Sprintf("failed with %d at %.1fs", call.Status, call.Began.Seconds())})
		case call.Cut || call.ByeLost:
			p.Dots = append(p.Dots, dot{c.x(call.Heard), p.Y + 6, "failed", "an answered call was lost"})
		}
	}
	c.Plots = append(c.Plots, p)
	c.Height += plotHeight + 8
}

// latency draws a duration of each call at its beginning.
func (c *chart) latency(name string, value func(chaos.Call) (time.Duration, bool)) {
	most := 100 * time.Millisecond
	for _, call := range c.Result.Calls {
		if v, ok := value(call); ok {
			most = max(most, v)
		}
	}
	p := plot{Name: name, Top: most.Round(time.Millisecond).String(), Y: c.Height, Height: plotHeight}
	for _, call := range c.Result.Calls {
		if v, ok := value(call); ok {
			p.Dots = append(p.Dots, dot{c.x(call.Began), p.Y + plotHeight*(1-v.Seconds()/most.Seconds()), "value", v.Round(time.Millisecond).String()})
		}
	}
	c.Plots = append(c.Plots, p)
	c.Height += plotHeight + 8
}

// WriteJSON writes the result for programs; ReadJSON reads it back.
func WriteJSON(w io.Writer, r Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(from io.Reader) (r Result, err error) {
	if err := json.NewDecoder(from).Decode(&r); err != nil {
		return r, fmt.Errorf("result: %w", err)
	}
	return r, nil
}

// suite and test are the JUnit form that build servers read.
type suite struct {
	XMLName  xml.Name `xml:"testsuite"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Time     float64  `xml:"time,attr"`
	Cases    []test   `xml:"testcase"`
}

type test struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Failure *failure `xml:"failure,omitempty"`
}

type failure struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes a test for each threshold.
func WriteJUnit(w io.Writer, r Result) error {
	s := suite{Name: "tandem chaos " + r.Scenario.Name, Time: time.Duration(r.Scenario.Duration).Seconds()}
	for _, t := range r.Thresholds {
		c := test{Name: t.Name, Class: r.Scenario.Name}
		if !t.OK {
			c.Failure = &failure{fmt.Sprintf("%s, want %s", t.Value, t.Limit)}
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	s.Tests = len(s.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	return e.Encode(s)
}
