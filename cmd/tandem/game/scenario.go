package game

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"tandem/chaos"
	"tandem/chaos/live"
	scenarios "tandem/deploy/chaos"
)

// Scenario is a file of deploy/chaos.
type Scenario struct {
	Name     string   `toml:"-" json:"name"`
	About    string   `toml:"about" json:"about"`
	Nodes    int      `toml:"nodes" json:"nodes"`       // 3 to 7; default 3
	Duration Duration `toml:"duration" json:"duration"` // of the traffic
	Faults   string   `toml:"faults" json:"faults"`     // one a line, as chaos.ParseSchedule reads them
	Traffic  Traffic  `toml:"traffic" json:"traffic"`
	Limits   Limits   `toml:"limits" json:"limits"`
}

// Traffic is what callers do meanwhile. All calls have voice.
type Traffic struct {
	CPS  float64  `toml:"cps" json:"cps"`   // default 5
	Talk Duration `toml:"talk" json:"talk"` // default 12s
}

// Limits are thresholds. What is absent is measured, shown, and not judged.
type Limits struct {
	Lost   *int      `toml:"lost" json:"lost,omitempty"`
	Failed *int      `toml:"failed" json:"failed,omitempty"`
	GapP50 *Duration `toml:"gap_p50" json:"gap_p50,omitempty"`
	GapP99 *Duration `toml:"gap_p99" json:"gap_p99,omitempty"`
	GapMax *Duration `toml:"gap_max" json:"gap_max,omitempty"`
	Leader *Duration `toml:"leader" json:"leader,omitempty"`
	Setup  *Duration `toml:"setup_p99" json:"setup_p99,omitempty"`
}

// Duration is a time.Duration written as "4s".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as \"4s\" or \"500ms\"", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string { return time.Duration(d).String() }

// The bounds of a scenario.
const (
	minNodes, maxNodes = 3, 7
	minDuration        = 5 * time.Second
	maxDuration        = 24 * time.Hour
)

// ErrUnknown says that there is no scenario of a name.
var ErrUnknown = errors.New("no such scenario")

// Names lists the scenarios that can be loaded by name.
func Names() []string {
	files, err := fs.Glob(scenarios.Files, "*.toml")
	if err != nil {
		panic("game: " + err.Error()) // the pattern is well formed
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".toml")
	}
	return files
}

// Load reads a scenario by its name, or from a file.
func Load(name string) (Scenario, error) {
	var text []byte
	var err error
	if slices.Contains(Names(), name) {
		text, err = fs.ReadFile(scenarios.Files, name+".toml")
	} else if text, err = os.ReadFile(name); errors.Is(err, fs.ErrNotExist) {
		return Scenario{}, fmt.Errorf("%q: %w", name, ErrUnknown)
	}
	if err != nil {
		return Scenario{}, err
	}
	s, err := parse(text)
	if err != nil {
		return s, fmt.Errorf("scenario %s: %w", name, err)
	}
	s.Name = strings.TrimSuffix(filepath.Base(name), ".toml")
	return s, nil
}

func parse(text []byte) (s Scenario, err error) {
	d := toml.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return s, errors.New(strict.String())
		}
		return s, err
	}
	s.Nodes = cmp.Or(s.Nodes, minNodes)
	s.Traffic.CPS = cmp.Or(s.Traffic.CPS, 5)
	s.Traffic.Talk = cmp.Or(s.Traffic.Talk, Duration(12*time.Second))
	return s, s.validate()
}

// validate names the first key that cannot be used.
func (s *Scenario) validate() error {
	length := time.Duration(s.Duration)
	switch {
	case s.Nodes < minNodes || s.Nodes > maxNodes:
		return fmt.Errorf("nodes = %d: want %d to %d", s.Nodes, minNodes, maxNodes)
	case length < minDuration || length > maxDuration:
		return fmt.Errorf("duration = %v: want %v to %v", length, minDuration, maxDuration)
	case s.Traffic.CPS < 0 || s.Traffic.CPS > 1000:
		return fmt.Errorf("traffic.cps = %v: want 0 to 1000", s.Traffic.CPS)
	}
	plan, err := s.plan()
	if err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	for _, f := range plan {
		if f.At+f.For > length {
			return fmt.Errorf("faults: %v: ends after the duration of %v", f, length)
		}
	}
	return nil
}

func (s *Scenario) plan() (chaos.Schedule, error) { return chaos.ParseSchedule(s.Faults) }

// Possible says what of a scenario cannot be done on this machine, if anything.
func (s *Scenario) Possible() error {
	plan, err := s.plan()
	if err != nil {
		return err
	}
	return live.Possible(plan)
}
