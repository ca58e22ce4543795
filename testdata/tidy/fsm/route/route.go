// Package route chooses. It never does anything else. Call nothing.
package route

import _ "tandem/fsm"
