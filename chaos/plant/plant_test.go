package plant_test

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"

	"tandem/chaos/plant"
)

// TestSeeds: every bug has been found, and seeds.txt says how to find it again.
func TestSeeds(t *testing.T) {
	f, err := os.Open("seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var found []plant.Bug
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 0 && words[0] != "#" {
			found = append(found, plant.Bug(words[0]))
		}
	}
	slices.Sort(found)
	if want := slices.Sorted(slices.Values(plant.Bugs())); !slices.Equal(found, want) {
		t.Errorf("seeds.txt has %v, want %v", found, want)
	}
}

// TestNothingIsPlanted: the ordinary build has no bug of this package.
func TestNothingIsPlanted(t *testing.T) {
	for _, b := range plant.Bugs() {
		if plant.On(b) && os.Getenv("TANDEM_PLANT") == "" {
			t.Errorf("%s is planted", b)
		}
	}
}
