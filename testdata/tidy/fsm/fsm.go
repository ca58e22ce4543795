// Package fsm says too little.
package fsm

import (
	_ "tandem/fsm/route"
	_ "tandem/sip"
)
