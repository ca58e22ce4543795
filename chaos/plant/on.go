//go:build plants

package plant

import "os"

// planted is read once: a bug is there for the whole life of the process.
var planted = Bug(os.Getenv("TANDEM_PLANT"))

// On says whether a bug is planted.
func On(b Bug) bool { return b == planted }
