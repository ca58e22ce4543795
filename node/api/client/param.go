package client

import "context"

// Parameter is a system parameter.
type Parameter struct {
	Name    string   `json:"name"`
	Value   string   `json:"value"`
	Default string   `json:"default"`
	Changed bool     `json:"changed" doc:"The value is not the default"`
	Vendor  string   `json:"vendor,omitempty" doc:"VOS3000's default"`
	Group   string   `json:"group"`
	Kind    string   `json:"kind" enum:"flag,count,time,money,choice,lengths,networks,zone"`
	Unit    string   `json:"unit,omitempty"`
	Range   string   `json:"range" doc:"Values that are possible"`
	About   string   `json:"about"`
	Aliases []string `json:"aliases,omitempty" nullable:"false"`
	Pending bool     `json:"pending,omitempty" doc:"Kept and shown; nothing reads it yet"`
}

// ParameterValue is the new value of a parameter.
type ParameterValue struct {
	Value string `json:"value" maxLength:"4096"`
}

// Parameters returns all system parameters by name.
func (c *Client) Parameters(ctx context.Context) (List[Parameter], error) {
	return fetch[Parameter](ctx, c, "/params", Page{}.values())
}

// Parameter returns a system parameter by its name or an alias.
func (c *Client) Parameter(ctx context.Context, name string) (p Parameter, r Receipt, err error) {
	r, err = c.get(ctx, path("params", name), nil, &p)
	return p, r, err
}

// SetParameter changes a system parameter by its name or an alias.
func (c *Client) SetParameter(ctx context.Context, name, value string) (p Parameter, r Receipt, err error) {
	r, err = c.put(ctx, path("params", name), ParameterValue{value}, &p)
	return p, r, err
}
