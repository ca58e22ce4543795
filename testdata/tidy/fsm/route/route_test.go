package route

import (
	_ "os" // tests are free to
	_ "pgregory.net/rapid"
	_ "tandem/sip"
	_ "testing"
)
