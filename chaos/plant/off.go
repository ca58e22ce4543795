//go:build !plants

package plant

// On says whether a bug is planted: never.
func On(Bug) bool { return false }
