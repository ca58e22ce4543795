package route_test

import (
	_ "tandem/fsm"
	_ "tandem/sip"
)
