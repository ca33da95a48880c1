package main

import (
	"bytes"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"loadstone/harness/verify"
)

// billOfMaterials returns a CycloneDX 1.6 document in JSON: the program as a whole, each component
// with its licences, and of those with files of their own the files' SHA-256. It has no serial
// number, because that is to be another one for each document that is made.
func (s *source) billOfMaterials(t target, program string, components []component,
	files []file) ([]byte, error) {
	sum, err := verify.SumFile(program)
	if err != nil {
		return nil, err
	}
	ref := "loadstone@" + s.version
	bom := cdx.NewBOM()
	bom.SerialNumber = ""
	bom.Metadata = &cdx.Metadata{
		Timestamp: s.time.Format(time.RFC3339),
		Component: &cdx.Component{
			BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: "loadstone", Version: s.version,
			PackageURL: "pkg:golang/" + s.module + "@" + s.version,
			Licenses:   licenceList([]string{"MIT"}),
			Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum.SHA256}},
			Properties: &[]cdx.Property{{Name: "loadstone:target", Value: t.name},
				{Name: "loadstone:commit", Value: s.revision()}},
		},
	}
	var list []cdx.Component
	var refs []string
	for _, c := range components {
		entry := cdx.Component{BOMRef: c.ref(), Type: cdx.ComponentTypeLibrary, Name: c.name,
			Version: c.version, PackageURL: c.purl, Licenses: licenceList(c.licences)}
		for _, f := range files {
			if len(c.files) == 1 && f.name == c.files[0] {
				sum, err := verify.SumFile(f.path)
				if err != nil {
					return nil, err
				}
				entry.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum.SHA256}}
			}
		}
		list = append(list, entry)
		refs = append(refs, c.ref())
	}
	bom.Components = &list
	bom.Dependencies = &[]cdx.Dependency{{Ref: ref, Dependencies: &refs}}
	var out bytes.Buffer
	enc := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true)
	if err := enc.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// ref identifies the component in a bill of materials.
func (c *component) ref() string {
	if c.version == "" {
		return c.name
	}
	return c.name + "@" + c.version
}

// licenceList is one licence, or the expression that joins several.
func licenceList(ids []string) *cdx.Licenses {
	if len(ids) == 1 && !strings.Contains(ids[0], " ") {
		return &cdx.Licenses{{License: &cdx.License{ID: ids[0]}}}
	}
	return &cdx.Licenses{{Expression: strings.Join(ids, " AND ")}}
}
