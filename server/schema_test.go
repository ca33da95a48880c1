package server

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"loadstone/engine"
)

// object is the schema of an object with properties, the first of which is an enum.
func object(properties string) string {
	return `{"type":"object","properties":{"mode":{"enum":["add","rm"]}` + properties +
		`},"required":["mode"],"additionalProperties":false}`
}

// schemas are what clients send, each with the place of what cannot be held, "" if all can.
var schemas = map[string]struct{ schema, unheld string }{
	"keyword of an extension":  {`{"type":"object","properties":{"mode":{"enum":["add","rm"],"x-order":1}},"required":["mode"],"x-fastmcp-wrap-result":true}`, ""},
	"nullable":                 {object(`,"a":{"type":"string","nullable":true,"markdownDescription":"b","xml":{}}`), ""},
	"integer of Zod 4":         {object(`,"n":{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991}`), ""},
	"record of Zod 4":          {object(`,"r":{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"boolean"}}`), ""},
	"length of 65536":          {object(`,"text":{"type":"string","maxLength":65536}`), ""},
	"length of 524288":         {object(`,"text":{"type":"string","maxLength":524288}`), ""},
	"uint32":                   {object(`,"n":{"type":"integer","minimum":0,"maximum":4294967295}`), ""},
	"positive":                 {object(`,"n":{"type":"number","exclusiveMinimum":0},"m":{"type":"number","minimum":0},"l":{"type":"integer","minimum":0}`), ""},
	"open unit":                {object(`,"n":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1}`), ""},
	"draft 4":                  {object(`,"n":{"type":"number","minimum":0,"exclusiveMinimum":true}`), ""},
	"dates":                    {object(`,"d":{"type":"string","format":"date"},"u":{"type":"string","format":"uuid"},"e":{"type":"string","format":"email"}`), ""},
	"pattern":                  {object(`,"code":{"type":"string","pattern":"^[A-Z]{3}$"}`), ""},
	"union of Pydantic":        {`{"$defs":{"Fish":{"type":"object","title":"Fish","properties":{"kind":{"const":"fish","type":"string","enum":["fish"]},"fins":{"type":"integer"}},"required":["kind","fins"],"additionalProperties":false},"Bird":{"type":"object","properties":{"kind":{"const":"bird","type":"string","enum":["bird"]}},"required":["kind"]}},"type":"object","properties":{"mode":{"enum":["add","rm"]},"pet":{"oneOf":[{"$ref":"#/$defs/Fish"},{"$ref":"#/$defs/Bird"}],"discriminator":{"propertyName":"kind","mapping":{"fish":"#/$defs/Fish"}}}},"required":["mode","pet"]}`, ""},
	"percent in a reference":   {`{"$defs":{"Order Line":{"type":"boolean"}},"type":"object","properties":{"mode":{"enum":["add","rm"]},"k":{"$ref":"#/$defs/Order%20Line"}},"required":["mode"]}`, ""},
	"no type":                  {`{"properties":{"mode":{"enum":["add","rm"]}},"required":["mode"]}`, ""},
	"unique items":             {object(`,"a b":{"type":"array","uniqueItems":true}`), "#/properties/a%20b/uniqueItems"},
	"pattern that looks back":  {object(`,"x":{"type":"string","pattern":"(?<=a)b"}`), ""},
	"pattern that refers back": {object(`,"x":{"type":"string","pattern":"(a)\\1"}`), "#/properties/x/pattern"},
	"format that is not known": {object(`,"x":{"type":"string","format":"color"}`), "#/properties/x/format"},
	"not":                      {object(`,"x":{"type":"string","not":{"const":"root"}}`), ""},
	"not a format":             {object(`,"x":{"not":{"format":"color"}}`), "#/properties/x/not"},
	"oneOf that overlaps":      {object(`,"x":{"oneOf":[{"type":"integer"},{"type":"number"}]}`), ""},
	"oneOf with a format":      {object(`,"x":{"type":"array","items":{"enum":[1,2]},"oneOf":[{"minItems":1},{"uniqueItems":true}]}`), "#/properties/x/oneOf"},
	"if":                       {`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"type":"integer"}},"required":["mode"],"if":{"properties":{"mode":{"const":"add"}}},"then":{"required":["x"]}}`, ""},
	"if a format":              {object(`,"x":{"if":{"format":"color"},"then":{"minLength":3}}`), "#/properties/x/if"},
	"Decimal of Pydantic":      {object(`,"p":{"anyOf":[{"type":"number"},{"type":"string","pattern":"^(?!^[-+.]*$)[+-]?0*\\\\d*\\\\.?\\\\d*$"}]}`), ""},
	"Optional of Pydantic":     {object(`,"a":{"anyOf":[{"type":"string"},{"type":"null"}],"default":null,"title":"A"}`), ""},
	"tuple of Zod":             {object(`,"t":{"type":"array","prefixItems":[{"type":"string"},{"type":"number"}],"items":false,"minItems":2}`), ""},
	"password":                 {object(`,"p":{"type":"string","pattern":"^(?=.*[a-z])(?=.*\\\\d).{4,12}$"}`), ""},
	"formats of OpenAPI":       {object(`,"a":{"type":"string","format":"password","example":"x","deprecated":true}`), ""},
	"integer of 64 bits":       {object(`,"n":{"type":"integer","format":"int64"},"m":{"type":"integer","format":"int32"}`), ""},
	"set of strings":           {object(`,"s":{"type":"array","items":{"type":"string"},"uniqueItems":true,"maxItems":3}`), "#/properties/s/uniqueItems"},
	"definitions":              {`{"definitions":{"N":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/definitions/N"},{"type":"null"}]}}}},"type":"object","properties":{"mode":{"enum":["add","rm"]},"n":{"$ref":"#/definitions/N"}},"required":["mode"]}`, ""},
	"reference to the network": {object(`,"a":{"$ref":"https://example.com/x.json"}`), "#/properties/a/$ref"},
	"unknown type":             {object(`,"a":{"type":"any"}`), "#/properties/a/type"},
	"contains":                 {object(`,"x":{"type":"array","items":{"type":"integer"},"contains":{"const":1}}`), ""},
	"dependentRequired":        {`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"type":"integer"}},"required":["mode"],"dependentRequired":{"mode":["x"]}}`, ""},
}

// exchanged returns the answer of a server with a model that would say something else.
func exchanged(t *testing.T, request string) (answer string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Config{}, engine.Config{Model: &echoModel{}}, byteText{})
		answer = listen(t, s).exchange(t, request)
	})
	return answer
}

// TestSchemas checks that a schema that is a hint loses only what cannot be held, which the answer
// says, and that a strict one is refused only for that, by the names of the tool, the property and
// the keyword.
func TestSchemas(t *testing.T) {
	for name, test := range schemas {
		for _, strict := range []string{"", `"strict":false,`, `"strict":true,`} {
			chat := `"tool_choice":"required","tools":[{"type":"function","function":{"name":"act",` +
				strict + `"parameters":` + test.schema + `}}]`
			for _, request := range []struct{ kind, text, tool string }{
				{"tool", post(say("go", `"max_tokens":60`, chat)), "act"},
				{"tool of Anthropic", postTo("/v1/messages", messagesBody("go",
					`"tool_choice":{"type":"any"},"tools":[{"name":"act",`+strict+`"input_schema":`+
						test.schema+`}]`)), "act"},
				{"response_format", post(say("go", `"max_tokens":60`, `"response_format":{"type":`+
					`"json_schema","json_schema":{"name":"v",`+strict+`"schema":`+test.schema+`}}`)), ""},
			} {
				got := exchanged(t, request.text)
				where := fmt.Sprintf("%s as a %s with %s", name, request.kind, strict)
				header := "X-Unheld: " + request.tool + test.unheld + "\r\n"
				switch {
				case test.unheld != "" && strict == `"strict":true,`:
					at, keyword := test.unheld[:strings.LastIndex(test.unheld, "/")],
						test.unheld[strings.LastIndex(test.unheld, "/")+1:]
					at = strings.ReplaceAll(at, "%20", " ")
					if request.tool != "" {
						at = `tool \"act\": ` + at
					}
					want := at + `: the keyword \"` + keyword + `\"`
					if !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, want) {
						t.Errorf("%s: %s\nwant 400 and %s", where, got, want)
					}
				case !strings.HasPrefix(got, "HTTP/1.1 200"):
					t.Errorf("%s: %s", where, got)
				case test.unheld == "" && strings.Contains(got, "X-Unheld"),
					test.unheld != "" && !strings.Contains(got, header):
					t.Errorf("%s: %s\nwant %s", where, got, header)
				case strings.Contains(got, `"stop_reason":"max_tokens"`): // such a call has no input
				case !strings.Contains(strings.ReplaceAll(got, `\"`, `"`), `"mode":`):
					t.Errorf("%s: the property is lost: %s", where, got)
				}
			}
		}
	}
}

// TestManySchemas checks that no number of tools with bounds is too many.
func TestManySchemas(t *testing.T) {
	for name, properties := range map[string]string{
		"page":     `"page":{"type":"integer","minimum":1},"query":{"type":"string"}`,
		"length":   `"a":{"type":"string","maxLength":2000}`,
		"lengths":  `"a":{"type":"string","maxLength":500},"b":{"type":"string","maxLength":500},"c":{"type":"string","maxLength":499},"d":{"type":"string","maxLength":498}`,
		"interval": `"a":{"type":"integer","minimum":0,"maximum":1000000000}`,
	} {
		var tools, anthropic []string
		for i := range 8 { // as many as the context of the tests' model has room for
			schema := `{"type":"object","properties":{` + properties + `}}`
			tools = append(tools, fmt.Sprintf(
				`{"type":"function","function":{"name":"t%d","parameters":%s}}`, i, schema))
			anthropic = append(anthropic, fmt.Sprintf(`{"name":"t%d","input_schema":%s}`, i, schema))
		}
		for _, request := range []string{
			post(say("hello", `"max_tokens":4`, `"tools":[`+strings.Join(tools, ",")+`]`)),
			postTo("/v1/messages", messagesBody("hello", `"tools":[`+strings.Join(anthropic, ",")+`]`)),
		} {
			if got := exchanged(t, request); !strings.HasPrefix(got, "HTTP/1.1 200") ||
				strings.Contains(got, "X-Unheld") {
				t.Errorf("%s: %.500s", name, got)
			}
		}
	}
}
