// Package scenarios carries the scenarios that "tandem chaos" knows by name, as
// the files that users copy and edit. It never reads or judges them: that is the
// game's.
//
//	text, err := scenarios.Files.ReadFile("leader-kill.toml")
package scenarios

import "embed"

// Files has one .toml for each scenario; README.md is the guide to game days.
//
//go:embed *.toml
var Files embed.FS
