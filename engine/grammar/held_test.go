package grammar

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// TestHeld checks which texts schemas of the wild admit.
func TestHeld(t *testing.T) {
	for name, test := range map[string]struct {
		schema    string
		good, bad []string
	}{
		"unknown keywords are annotations": {
			`{"type":"object","x-fastmcp-wrap-result":true,"properties":{"mode":{"enum":["add","rm"],
			"enumDescriptions":["a","b"],"markdownDescription":"m","x-order":1}},"required":["mode"],
			"nullable":true,"externalDocs":{},"xml":{},"id":"x","cache_control":{},
			"propertyOrdering":["mode"],"errorMessage":"e"}`,
			[]string{`{"mode":"add"}`}, []string{`{"mode":"no"}`, `{}`, `null`}},
		"record":             {`{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"boolean"}}`, []string{`{"a":true}`, `{}`}, []string{`{"a":1}`}},
		"record of an enum":  {`{"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"boolean"}}`, []string{`{"a":true,"b":false}`}, []string{`{"c":true}`}},
		"integer of Zod":     {`{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991}`, []string{"0", "-5", "123456789012345"}, []string{"1.5"}},
		"uint32":             {`{"type":"integer","minimum":0,"maximum":4294967295}`, []string{"0", "4294967295", "3999999999"}, []string{"4294967296", "-1", "10000000000"}},
		"int32":              {`{"type":"integer","minimum":-2147483648,"maximum":2147483647}`, []string{"-2147483648", "2147483647"}, []string{"2147483648", "-2147483649"}},
		"milliseconds":       {`{"type":"integer","minimum":1577836800000,"maximum":4102444800000}`, []string{"1577836800000", "1764400000000"}, []string{"1577836799999", "4102444800001", "5"}},
		"nanoseconds":        {`{"type":"integer","minimum":1600000000000000000,"maximum":1700000000000000000}`, []string{"1600000000000000000", "1650000000000000001"}, []string{"1", "1599999999999999999", "1700000000000000001"}},
		"int64":              {`{"type":"integer","minimum":-9223372036854775808}`, []string{"-1", "7"}, nil},
		"open unit":          {`{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1}`, []string{"0.5", "0.001", "0.999999"}, []string{"0", "1", "0.0", "1.0", "-0.5"}},
		"quarters":           {`{"type":"number","minimum":0.25,"maximum":0.75}`, []string{"0.25", "0.5", "0.750", "0.251"}, []string{"0.24", "0.751", "0", "1"}},
		"halves":             {`{"type":"number","minimum":-0.5,"maximum":0.5}`, []string{"0.3", "-0.2", "0", "-0.5", "0.5"}, []string{"-0.51", "0.6", "1"}},
		"a thousandth":       {`{"type":"number","minimum":0.001}`, []string{"0.001", "0.5", "17.25"}, []string{"0.0009", "0", "0.0"}},
		"over zero":          {`{"type":"number","exclusiveMinimum":0}`, []string{"0.5", "0.000001", "1"}, []string{"0", "0.0", "-1"}},
		"up to 4.5":          {`{"type":"number","minimum":0,"maximum":4.5}`, []string{"4.25", "4.5", "0"}, []string{"4.51", "5"}},
		"draft 4":            {`{"type":"number","minimum":0,"exclusiveMinimum":true,"maximum":1,"exclusiveMaximum":false}`, []string{"0.1", "1"}, []string{"0", "1.1"}},
		"tiny bound":         {`{"type":"number","minimum":1e-30,"maximum":1e300}`, []string{"0.5"}, []string{"0", "-1"}},
		"cents":              {`{"type":"number","multipleOf":0.01,"minimum":0}`, []string{"0.25", "3", "1.5"}, []string{"0.001"}},
		"dozens":             {`{"type":"integer","multipleOf":12,"minimum":1,"maximum":100}`, []string{"12", "96"}, []string{"0", "13", "108"}},
		"a length of 65536":  {`{"type":"string","maxLength":65536}`, []string{`"a"`}, nil},
		"a length of 100.0":  {`{"type":"string","maxLength":2.0}`, []string{`"ab"`}, []string{`"abc"`}},
		"const beside enum":  {`{"const":"fish","type":"string","enum":["fish"]}`, []string{`"fish"`}, []string{`"bird"`}},
		"oneOf of constants": {`{"oneOf":[{"const":"a","description":"x"},{"const":"b"},{"enum":["c","b"]}]}`, []string{`"a"`, `"c"`}, []string{`"b"`}},
		"tagged objects": {`{"oneOf":[{"$ref":"#/$defs/F"},{"$ref":"#/$defs/B"}],"discriminator":{"propertyName":"kind","mapping":{}},
			"$defs":{"F":{"type":"object","properties":{"kind":{"const":"fish","type":"string"},"fins":{"type":"integer"}},"required":["kind","fins"]},
			"B":{"type":"object","properties":{"kind":{"const":"bird","type":"string"}},"required":["kind"]}}}`,
			[]string{`{"kind":"fish","fins":2}`, `{"kind":"bird"}`}, []string{`{"kind":"bird","fins":2}`, `{"kind":"fish"}`}},
		"objects told apart by what they require": {`{"oneOf":[{"type":"object","properties":{"a":{}},"required":["a"]},{"type":"object","properties":{"b":{}},"required":["b"]}]}`,
			[]string{`{"a":1}`, `{"b":1}`}, []string{`{"a":1,"b":1}`, `{}`}},
		"allOf and a description": {`{"allOf":[{"type":"integer","minimum":3},{"description":"x"}]}`, []string{"3"}, []string{"2"}},
		"allOf of objects": {`{"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
			{"type":"object","properties":{"b":{"type":"string"},"a":{"maximum":3}}}]}`, []string{`{"a":1,"b":""}`, `{"a":3}`}, []string{`{"a":4}`, `{"b":""}`}},
		"type beside anyOf":         {`{"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}],"properties":{"a":{},"b":{}}}`, []string{`{"a":1}`, `{"b":1}`, `{"a":1,"b":1}`}, []string{`{}`, `1`}},
		"reference and more":        {`{"$ref":"#/$defs/n","maximum":5,"$defs":{"n":{"type":"integer","minimum":3}}}`, []string{"3", "5"}, []string{"2", "6"}},
		"percent in references":     {`{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/Order%20Line"},{"$ref":"#/$defs/a%2Fb~1c"},{"$ref":"#/$defs/gr%C3%B6%25"},{"$ref":"#/$defs/50%"}]},"$defs":{"Order Line":{"const":1},"a/b/c":{"const":0},"grö%":{"const":3},"50%":{"const":4}}}`, []string{"[1,3,4]"}, []string{"[2]"}},
		"anchors and identifiers":   {`{"$id":"https://x.org/s.json","anyOf":[{"$ref":"#here"},{"$ref":"other.json#/$defs/k"},{"$ref":"https://x.org/s.json#/$defs/b"}],"$defs":{"a":{"$anchor":"here","const":1},"b":{"const":3},"o":{"$id":"other.json","$defs":{"k":{"$ref":"#/$defs/l"},"l":{"const":2}}}}}`, []string{"1", "2", "3"}, []string{"4"}},
		"tuple":                     {`{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"minItems":2,"maxItems":2}`, []string{`[1,"a"]`}, []string{`[1]`, `["a",1]`, `[1,"a",2]`}},
		"tuple of draft 7":          {`{"type":"array","items":[{"type":"integer"},{"type":"string"}],"additionalItems":false}`, []string{`[1,"a"]`, `[1]`, `[]`}, []string{`[1,"a",2]`, `["a"]`}},
		"required of draft 3":       {`{"type":"object","properties":{"a":{"type":"integer","required":true},"b":{}}}`, []string{`{"a":1}`}, []string{`{"b":1}`, `{}`}},
		"properties without type":   {`{"properties":{"a":{"type":"integer"}},"required":["a"]}`, []string{`{"a":1}`}, []string{"true"}},
		"set of an enum":            {`{"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true,"minItems":1}`, []string{`["c","a"]`, `["a","b","c"]`}, []string{`[]`, `["a","a"]`, `["d"]`}},
		"large set of an enum":      {`{"type":"array","items":{"enum":[1,2,3,4,5,6,7,8,9,10]},"uniqueItems":true,"maxItems":3}`, []string{`[2,4,10]`, `[]`}, []string{`[1,1]`, `[1,2,3,4]`}},
		"pattern":                   {`{"type":"string","pattern":"^[A-Z]{3}-\\d+$","maxLength":6}`, []string{`"ABC-12"`}, []string{`"ABC-123"`, `"abc-1"`}},
		"unanchored pattern":        {`{"type":"string","pattern":"b|^c"}`, []string{`"abc"`, `"c"`}, []string{`"ac"`}},
		"pattern looks ahead":       {`{"type":"string","pattern":"^(?=.*\\d)(?!x)\\w{2,4}$"}`, []string{`"a1"`, `"1_b"`}, []string{`"x1"`, `"ab"`, `"abcd1"`}},
		"escapes in a pattern":      {`{"type":"string","pattern":"^[\\u0041-C\\x44]\\/[^\\s\\-]\\\\$"}`, []string{`"A/b\\"`, `"D/é\\"`}, []string{`"A/-\\"`, `"A/ \\"`}},
		"email of Zod":              {`{"type":"string","format":"email","pattern":"^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"}`, []string{`"a.b@c-d.org"`}, []string{`"a..b@c.org"`, `"a"`}},
		"unused properties":         {`{"type":"object","properties":{"a":{"type":"integer"},"b":false,"c":{"not":{}}}}`, []string{`{"a":1}`, `{}`}, []string{`{"b":1}`}},
		"at least one":              {`{"type":"object","properties":{"a":{},"b":{},"c":{}},"minProperties":1,"maxProperties":2}`, []string{`{"a":1}`, `{"b":1,"c":1}`}, []string{`{}`, `{"a":1,"b":1,"c":1}`}},
		"pattern properties":        {`{"type":"object","patternProperties":{"^s":{"type":"string"},"^n":{"type":"integer"}},"additionalProperties":false}`, []string{`{"s1":"","n":2}`}, []string{`{"x":1}`, `{"n":""}`}},
		"closed by unevaluated":     {`{"allOf":[{"properties":{"a":{"type":"integer"}}}],"type":"object","unevaluatedProperties":false}`, []string{`{"a":1}`, `{}`}, []string{`{"b":1}`}},
		"integers of 8 and 32 bits": {`{"type":"array","prefixItems":[{"type":"integer","format":"int32"},{"type":"integer","format":"uint8"}],"items":false}`, []string{"[-2147483648,255]", "[2147483647,0]"}, []string{"[2147483648]", "[-2147483649]", "[0,256]", "[0,-1]"}},
		"not a constant":            {`{"type":["string","integer"],"not":{"enum":["root","",5,7]}}`, []string{`"rooter"`, `"roo"`, "6", "57", "-5"}, []string{`"root"`, `""`, "5", "7"}},
		"not a type":                {`{"not":{"type":["integer","object"]}}`, []string{`""`, "1.5", "0.25", "null", "[1]"}, []string{"1", "-0", "1.0", "{}"}},
		"not null":                  {`{"type":["string","null","boolean"],"not":{"enum":[null,true]}}`, []string{`"a"`, "false"}, []string{"null", "true"}},
		"not an empty value":        {`{"type":["array","object","string"],"not":{"enum":["",[],{}]}}`, []string{`[1]`, `{"a":1}`, `"a"`}, []string{`""`, "[]", "{}"}},
		"not a list":                {`{"type":"array","items":{"type":"integer"},"not":{"const":[1,2]}}`, []string{"[1]", "[1,3]", "[2,2]", "[1,2,3]", "[]"}, []string{"[1,2]"}},
		"not an object":             {`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"not":{"const":{"a":1}}}`, []string{`{"a":2}`, `{"a":1,"b":1}`, "{}"}, []string{`{"a":1}`}},
		"not a pattern":             {`{"type":"string","maxLength":20,"not":{"pattern":"^\\s|\\s$"}}`, []string{`"a b"`, `""`}, []string{`" a"`, `"a "`}},
		"not a multiple":            {`{"type":"number","minimum":0,"not":{"multipleOf":0.5}}`, []string{"0.25", "1.51", "7.000001"}, []string{"0", "0.5", "3", "1.50"}},
		"not a range":               {`{"type":"integer","not":{"minimum":3,"maximum":5}}`, []string{"2", "6", "-9"}, []string{"3", "4", "5"}},
		"not both":                  {`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"not":{"required":["a","b"]}}`, []string{`{"a":1}`, `{"b":1}`, "{}"}, []string{`{"a":1,"b":1}`}},
		"not a property":            {`{"type":"object","additionalProperties":{"type":"integer"},"not":{"required":["a"]}}`, []string{`{"b":1}`, "{}"}, []string{`{"a":1}`, `{"b":""}`}},
		"not not":                   {`{"not":{"not":{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}}}`, []string{`{"a":1}`}, []string{"{}", `{"a":""}`, "1"}},
		"not one of":                {`{"type":"integer","not":{"oneOf":[{"minimum":3},{"maximum":5}]}}`, []string{"3", "4", "5"}, []string{"2", "6"}},
		"not a reference":           {`{"type":"string","not":{"$ref":"#/$defs/x"},"$defs":{"x":{"maxLength":2}}}`, []string{`"abc"`}, []string{`"ab"`}},
		"numbers that overlap":      {`{"oneOf":[{"type":"integer"},{"type":"number","minimum":2}]}`, []string{"1", "-3", "2.5"}, []string{"2", "3", "1.5"}},
		"multiples that overlap":    {`{"type":"integer","minimum":0,"maximum":99,"oneOf":[{"multipleOf":3},{"multipleOf":5}]}`, []string{"3", "5", "10", "99"}, []string{"0", "15", "1", "30"}},
		"strings that overlap":      {`{"oneOf":[{"type":"string","maxLength":3},{"type":"string","pattern":"^a"}]}`, []string{`"bcd"`, `""`, `"abcd"`}, []string{`"abc"`, `"bcde"`}},
		"objects that overlap": {`{"oneOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"type":"object","properties":{"a":{"maximum":3},"b":{}},"required":["a","b"]}]}`,
			[]string{`{"a":1}`, `{"a":"x","b":1}`}, []string{`{"a":1,"b":1}`, `{"b":1}`}},
		"a constant that overlaps":        {`{"oneOf":[{"const":"a"},{"type":"string"}]}`, []string{`"b"`, `""`}, []string{`"a"`}},
		"a constant in a typed choice":    {`{"type":"string","oneOf":[{"minLength":0},{"const":"a"}]}`, []string{`"b"`}, []string{`"a"`}},
		"choices within a choice":         {`{"type":["string","integer"],"anyOf":[{"const":1},{"oneOf":[{"allOf":[{"type":"string"},{"minLength":2}]},true,{"const":"a"}]}]}`, []string{`"b"`, "2", "1"}, []string{`"a"`, `"bc"`}},
		"not a format":                    {`{"type":"string","maxLength":9,"not":{"format":"email"}}`, []string{`"a b"`, `""`}, []string{`"a@b.c"`, `"@"`}},
		"a format and other strings":      {`{"oneOf":[{"type":"string","format":"date"},{"type":"string","minLength":3}]}`, []string{`"abc"`, `"2024-1-1"`}, []string{`"2024-01-01"`, `"ab"`}},
		"a format that is told apart":     {`{"oneOf":[{"type":"string","format":"date"},{"type":"string","format":"date-time"}]}`, []string{`"2024-01-01"`, `"2024-01-01T00:00:00Z"`}, nil},
		"a name that hostname leaves out": {`{"oneOf":[{"type":"string","pattern":"^[a-z-]+$"},{"type":"string","format":"hostname"}]}`, nil, []string{`"xn--a"`, `"a"`}},
		"if a kind": {`{"type":"object","properties":{"kind":{"enum":["card","cash","gift"]},"number":{"type":"string"},"code":{"type":"integer"}},"required":["kind"],"additionalProperties":false,
			"allOf":[{"if":{"properties":{"kind":{"const":"card"}},"required":["kind"]},"then":{"required":["number"]},"else":{"properties":{"number":false}}},
			{"if":{"properties":{"kind":{"const":"gift"}}},"then":{"required":["code"]}}]}`,
			[]string{`{"kind":"card","number":""}`, `{"kind":"cash"}`, `{"kind":"cash","code":1}`, `{"kind":"gift","code":1}`},
			[]string{`{"kind":"card"}`, `{"kind":"cash","number":""}`, `{"kind":"gift"}`, `{}`}},
		"if a property is there": {`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"if":{"required":["a"]},"then":{"required":["b"]}}`, []string{`{"a":1,"b":1}`, `{"b":1}`, "{}"}, []string{`{"a":1}`}},
		"if a country":           {`{"type":"object","properties":{"country":{"enum":["US","NL"]},"code":{"type":"string"}},"required":["country","code"],"if":{"properties":{"country":{"const":"US"}}},"then":{"properties":{"code":{"pattern":"^[0-9]{5}$"}}},"else":{"properties":{"code":{"pattern":"^[0-9]{4} [A-Z]{2}$"}}}}`, []string{`{"country":"US","code":"12345"}`, `{"country":"NL","code":"1234 AB"}`}, []string{`{"country":"US","code":"1234 AB"}`, `{"country":"NL","code":"12345"}`}},
		"if alone":               {`{"type":"integer","if":{"minimum":3}}`, []string{"1", "5"}, []string{`""`}},
		"if not":                 {`{"if":{"type":"string"},"else":{"type":"integer"}}`, []string{`"a"`, "1"}, []string{"null", "1.5"}},
		"contains":               {`{"type":"array","items":{"type":"integer"},"contains":{"minimum":5}}`, []string{"[5]", "[1,9,1]"}, []string{"[]", "[1,2]", `["a",5]`}},
		"contains a few":         {`{"type":"array","items":{"type":"integer"},"contains":{"minimum":5},"minContains":2,"maxContains":3,"maxItems":4}`, []string{"[5,6]", "[1,5,6,7]", "[5,1,5]"}, []string{"[5]", "[5,5,5,5]", "[1,1,5,5,1]"}},
		"contains none":          {`{"type":"array","contains":{"type":"string"},"minContains":0,"maxContains":0}`, []string{"[]", "[1,null]"}, []string{`[1,""]`}},
		"contains two kinds":     {`{"type":"array","items":{"type":["integer","string"]},"allOf":[{"contains":{"type":"string"}},{"contains":{"const":7}}]}`, []string{`[7,""]`, `["",1,7]`}, []string{`[""]`, "[7]"}},
		"does not contain":       {`{"type":"array","items":{"type":"integer"},"not":{"contains":{"const":3}}}`, []string{"[1,2]", "[]"}, []string{"[3]", "[1,3]"}},
		"depends on a property":  {`{"type":"object","properties":{"card":{"type":"integer"},"address":{"type":"string"}},"dependentRequired":{"card":["address"]}}`, []string{`{"card":1,"address":""}`, `{"address":""}`, "{}"}, []string{`{"card":1}`}},
		"dependent schemas":      {`{"type":"object","properties":{"a":{},"b":{"type":"integer"}},"dependentSchemas":{"a":{"properties":{"b":{"minimum":3}},"required":["b"]}}}`, []string{`{"a":1,"b":3}`, `{"b":1}`}, []string{`{"a":1}`, `{"a":1,"b":2}`}},
		"dependencies":           {`{"type":"object","properties":{"a":{},"b":{"type":"integer"},"c":{}},"dependencies":{"a":["b"],"c":{"required":["a"]}}}`, []string{`{"a":1,"b":3}`, `{"a":1,"b":1,"c":1}`}, []string{`{"a":1}`, `{"c":1}`}},
		"unevaluated items":      {`{"type":"array","allOf":[{"prefixItems":[{"type":"integer"}]}],"unevaluatedItems":{"type":"string"}}`, []string{"[1]", `[1,"a","b"]`}, []string{"[1,2]", `["a"]`}},
		"unevaluated in a not":   {`{"type":"object","properties":{"a":{}},"not":{"not":{"properties":{"b":{"const":1}}}},"unevaluatedProperties":false}`, []string{`{"a":1}`}, []string{`{"b":1}`, `{"a":1,"b":1}`}},
		"unevaluated beside if":  {`{"type":"object","properties":{"a":{"type":"integer"}},"if":{"required":["a"]},"then":{"properties":{"b":{}}},"unevaluatedProperties":false}`, []string{`{"a":1,"b":1}`, "{}"}, []string{`{"b":1}`, `{"c":1}`}},
		"a dynamic reference":    {`{"$dynamicAnchor":"node","type":"object","properties":{"next":{"$dynamicRef":"#node"},"n":{"type":"integer"}}}`, []string{`{"next":{"n":1},"n":2}`}, []string{`{"next":{"n":""}}`}},
		"a recursive reference":  {`{"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveAnchor":true,"type":"object","properties":{"next":{"$recursiveRef":"#"},"n":{"type":"integer"}},"additionalProperties":false}`, []string{`{"next":{"n":1},"n":2}`}, []string{`{"next":{"n":""}}`, `{"next":{"x":1}}`}},
		"a format of Zod's own": {`{"type":"object","properties":{"net":{"type":"string","format":"cidrv4","pattern":"^(?:\\d{1,3}\\.){3}\\d{1,3}\\/\\d{1,2}$"},
			"id":{"type":"string","format":"ulid","pattern":"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"},"low":{"type":"string","format":"lowercase","pattern":"^[^A-Z]*$"}},"required":["net","id","low"]}`,
			[]string{`{"net":"10.0.0.0/8","id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","low":"a"}`},
			[]string{`{"net":"10.0.0.0","id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","low":"a"}`, `{"net":"10.0.0.0/8","id":"x","low":"a"}`, `{"net":"10.0.0.0/8","id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","low":"A"}`}},
		"several patterns of Zod": {`{"type":"string","format":"includes","allOf":[{"pattern":"^sk-.*"},{"pattern":"ab"}]}`, []string{`"sk-ab"`, `"sk-xaby"`}, []string{`"sk-a"`, `"ab"`}},
		"an integer as a string":  {`{"type":["string","integer"],"format":"int64"}`, []string{`"0"`, `"-123456789012345678"`, "5"}, []string{`"a"`, `""`, `"01"`, `"-"`, `"1.5"`}},
		"a tag before a reference": {`{"oneOf":[{"type":"object","properties":{"type":{"const":"a"}},"$ref":"#/$defs/A","required":["type"]},
			{"type":"object","$ref":"#/$defs/A","properties":{"type":{"const":"b"}},"required":["type"]}],"$defs":{"A":{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}}}`,
			[]string{`{"type":"a","x":1}`, `{"x":1,"type":"b"}`}, []string{`{"x":1,"type":"a"}`, `{"type":"b","x":1}`, `{"type":"a"}`}},
		"a path":               {`{"type":"string","format":"path"}`, []string{`"/etc/hosts"`, `"a b"`}, []string{"1"}},
		"pattern looks behind": {`{"type":"string","pattern":"^\\w+(?<!_)$","maxLength":9}`, []string{`"a_b"`}, []string{`"a_"`}},
		"an enum in escapes":   {`{"enum":["\u534e\u6c0f","a\/b"]}`, []string{`"华氏"`, `"a/b"`}, []string{`"\u534e\u6c0f"`, `"a\/b"`}},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := Schema([]byte(test.schema))
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range test.good {
				if !accepts(g, text) {
					t.Errorf("%s is refused", text)
				}
			}
			for _, text := range test.bad {
				if accepts(g, text) {
					t.Errorf("%s is accepted", text)
				}
			}
		})
	}
}

// TestFormats checks the formats by what the tests' validator says, on their samples and on random
// answers.
func TestFormats(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for format, samples := range formatSamples {
		for _, more := range []string{"", `,"maxLength":253`, `,"maxLength":60`} {
			g, err := Schema([]byte(`{"type":"string","format":"` + format + `"` + more + `}`))
			if err != nil {
				t.Fatal(format, err)
			}
			for _, s := range samples {
				if !accepts(g, quote(s)) {
					t.Errorf("%s: %q is refused", format, s)
				}
			}
			for range 40 {
				text, ok := write(t, g, r)
				if ok && !hasFormat(format, text[1:len(text)-1]) {
					t.Errorf("%s: wrote %s", format, text)
				}
			}
		}
	}
	for format, bad := range map[string][]string{
		"date":      {"2023-02-29", "1900-02-29", "2023-04-31", "2023-13-01", "2023-00-10", "27/11/2016", "0000-01-01"},
		"time":      {"24:00:00Z", "12:00:00", "12:60:00Z"},
		"date-time": {"2023-01-22 23:12:22", "2023-01-22T23:12:22"},
		"duration":  {"P", "PT", "1D", "P1H", "P1W2D", "P1DT"},
		"email":     {"a", "a@", "a@b", "@b.c", "a@b..com", ".a@b.com", "a b@c.com"},
		"hostname":  {"-a", "a-", "a..b", "", "a_b"},
		"ipv4":      {"256.1.1.1", "1.2.3", "01.2.3.4"},
		"ipv6":      {"1", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::"},
		"uuid":      {"123e4567e89b12d3a456426614174000", "Molina"},
		"uuid4":     {"123e4567-e89b-12d3-a456-426614174000", "f47ac10b-58cc-4372-7567-0e02b2c3d479"},
		"regex":     {"(", "[a", "*a", "a**", "[z-a]", `a\`},

		"relative-json-pointer": {"", "/a", "01", "0~", "0/~2"},
		"ipvanyaddress":         {"10.0.0", "a"},

		"uri": {"a", "http://", "http:// a.b", "//a.b", "http:", "1a:b"},
	} {
		g, err := Schema([]byte(`{"type":"string","format":"` + format + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range bad {
			if accepts(g, quote(s)) {
				t.Errorf("%s: %q is accepted", format, s)
			}
		}
	}
}

// TestIntervals checks every thousandth around random bounds.
func TestIntervals(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 150 {
		low, high := r.IntN(4000)-2000, r.IntN(4000)-2000
		if r.IntN(3) == 0 {
			low = low / 500 * 500
		}
		strictLow, strictHigh := r.IntN(2) == 0, r.IntN(2) == 0
		key := map[bool]string{true: "exclusive", false: ""}
		var parts []string
		for _, b := range []struct {
			strict bool
			key    string
			n      int
		}{{strictLow, "Minimum", low}, {strictHigh, "Maximum", high}} {
			name := key[b.strict] + b.key
			name = strings.ToLower(name[:1]) + name[1:]
			parts = append(parts, fmt.Sprintf(`"%s":%s`, name, strconv.FormatFloat(float64(b.n)/1000, 'g', -1, 64)))
		}
		source := `{"type":"number",` + strings.Join(parts, ",") + `}`
		g, err := Schema([]byte(source))
		if err != nil && !strings.Contains(err.Error(), "nothing satisfies") {
			t.Fatal(err)
		}
		some := false
		for n := -2100; n <= 2100; n++ {
			if abs(n) > 20 && abs(n-low) > 20 && abs(n-high) > 20 && n%97 != 0 {
				continue
			}
			want := (low < n || low == n && !strictLow) && (n < high || n == high && !strictHigh)
			some = some || want
			if g == nil {
				continue
			}
			text := fmt.Sprintf("%.3f", float64(n)/1000)
			short := strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
			for _, text := range []string{text, short} {
				if text != "" && text != "-" && accepts(g, text) != want {
					t.Fatalf("%s: %s is accepted: %t", source, text, !want)
				}
			}
		}
		if g == nil && some {
			t.Fatalf("%s: %v", source, err)
		}
	}
}

func abs(n int) int { return max(n, -n) }

// TestLoose checks that a loose schema loses only the keyword that cannot be held, by its name.
func TestLoose(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"type":"array","uniqueItems":true}},"required":["mode"]}`:                                                   `tool "act": #/properties/x: the keyword "uniqueItems"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"not":{"format":"color"}}},"required":["mode"]}`:                                                            `tool "act": #/properties/x: the keyword "not"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"pattern":"(a)\\1"}},"required":["mode"]}`:                                                                  `the keyword "pattern"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"format":"color"}},"required":["mode"]}`:                                                                    `the keyword "format"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"minLength":-1}},"required":["mode"]}`:                                                                      `the keyword "minLength"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"$ref":"#/nowhere"}},"required":["mode"]}`:                                                                  `the keyword "$ref"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"$ref":"http://json-schema.org/draft-07/schema#"}},"required":["mode"]}`:                                    `the keyword "$ref"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"type":"array","items":{"enum":[1,2]},"oneOf":[{"minItems":1},{"uniqueItems":true}]}},"required":["mode"]}`: `the keyword "oneOf"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"type":"thing"}},"required":["mode"]}`:                                                                      `the keyword "type"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":{"if":{"uniqueItems":true},"then":false}},"required":["mode"]}`:                                              `the keyword "if"`,
		`{"type":"object","properties":{"mode":{"enum":["add","rm"]},"x":[]},"required":["mode"]}`:                                                                                    `#/properties/x: the schema is not a schema`,
		`{"properties":{"mode":{"enum":["add","rm"]},"x":{"contains":{"const":1},"minContains":0.5}},"required":["mode"]}`:                                                            `the keyword "contains"`,
	} {
		tool := Tool{"act", []byte(schema), true}
		g, unheld, err := Spec{Tools: []Tool{tool}, Form: Form{Close: "!"}, Required: true}.
			Compile(context.Background())
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		if len(unheld) != 1 || !strings.Contains(unheld[0].Error(), want) {
			t.Errorf("%s: not held: %v, want %s", schema, unheld, want)
		}
		if !accepts(g, `act{"mode":"add"}!`) || accepts(g, `act{"mode":"no"}!`) || accepts(g, "act{}!") {
			t.Errorf("%s: mode is lost, too", schema)
		}
		tool.Loose = false
		_, _, err = Spec{Tools: []Tool{tool}, Required: true}.Compile(context.Background())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: strict: %v, want %s", schema, err, want)
		}
	}
}

// TestLooseWhole checks that a loose schema that cannot be held at all leaves any value, and says
// so.
func TestLooseWhole(t *testing.T) {
	for _, schema := range []string{`{"type":"string"}`, `{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}`, `false`, `{`, `[]`,
		`{"type":"object","properties":{"n":{"type":"integer","minimum":5,"maximum":4}},"required":["n"]}`} {
		other := Tool{"other", []byte(`{"type":"object","properties":{"a":{"const":1}},"required":["a"]}`), false}
		g, unheld, err := Spec{Tools: []Tool{{"act", []byte(schema), true}, other},
			Required: true}.Compile(context.Background())
		if err != nil || len(unheld) == 0 {
			t.Errorf("%s: %v, not held: %v", schema, err, unheld)
			continue
		}
		if !accepts(g, `act{"any":"thing"}`) || accepts(g, "act1") || accepts(g, `other{"b":1}`) {
			t.Errorf("%s: not any object", schema)
		}
	}
}

// TestManyTools checks that tools that are hints compile in any number and with any number of
// bounds, and that the error names a strict tool that no longer fits.
func TestManyTools(t *testing.T) {
	spec := Spec{Form: Form{Name: "<", Args: ":", Close: ">"}, Required: true}
	for i := range 500 {
		schema := fmt.Sprintf(`{"type":"object","properties":{
			"page":{"type":"integer","minimum":%d},"limit":{"type":"integer","minimum":0,"maximum":1000000000},
			"score":{"type":"number","exclusiveMinimum":0},"text":{"type":"string","maxLength":2000},
			"more":{"type":"array","items":{"type":"string","maxLength":500},"maxItems":1000},
			"kind":{"enum":["a","b"]}},"required":["page","kind"]}`, i)
		spec.Tools = append(spec.Tools, Tool{fmt.Sprintf("t%d", i), []byte(schema), false})
	}
	g, unheld, err := spec.Compile(context.Background())
	if err != nil || len(unheld) > 0 {
		t.Fatal(err, unheld)
	}
	if !accepts(g, `<t7:{"page":7,"text":"a","kind":"b"}>`) || accepts(g, `<t7:{"page":6,"kind":"b"}>`) {
		t.Error("a tool's schema is not held")
	}
	big := []byte(large["properties"](20_000))
	spec.Tools = append(spec.Tools, Tool{"big", big, true}, Tool{"last", []byte(`{"type":"object",
		"properties":{"kind":{"enum":["a","b"]}},"required":["kind"]}`), true})
	g, unheld, err = spec.Compile(context.Background())
	if err != nil || len(unheld) == 0 || unheld[0].Tool != "big" && unheld[0].Tool != "last" ||
		!strings.Contains(unheld[0].Reason, "100000 rules") {
		t.Fatal(err, unheld)
	}
	if !accepts(g, `<t7:{"page":7,"kind":"b"}>`) || !accepts(g, `<last:{"kind":"a"}>`) {
		t.Error("what fits is lost, too")
	}
	spec.Tools[501].Loose = false
	_, _, err = spec.Compile(context.Background())
	if err == nil || !strings.Contains(err.Error(), `tool "last": #: the schema is too large`) {
		t.Errorf("%v", err)
	}
}
