// Renders a chart with what Helm renders it with: Go's text/template, Sprig, and gojsonschema for
// values.schema.json. For the tests, because Debian has no package of Helm.
//
//	chart DIR NAMESPACE [VALUES.json]    prints the manifests, or says why not and exits 1
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"github.com/xeipuuv/gojsonschema"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) < 3 {
		fail(errors.New("usage: chart DIR NAMESPACE [VALUES.json]"))
	}
	values := read(filepath.Join(os.Args[1], "values.yaml"))
	if len(os.Args) > 3 {
		merge(values, read(os.Args[3]))
	}
	if err := validate(filepath.Join(os.Args[1], "values.schema.json"), values); err != nil {
		fail(err)
	}
	text, err := render(os.Args[1], os.Args[2], values)
	if err != nil {
		fail(err)
	}
	fmt.Print(text)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func read(path string) map[string]interface{} {
	text, err := os.ReadFile(path)
	if err != nil {
		fail(err)
	}
	var values map[string]interface{}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		fail(fmt.Errorf("%s: %w", path, err))
	}
	return values
}

// As Helm lays values over defaults: tables are merged, null takes a key away, all else replaces.
func merge(under, over map[string]interface{}) {
	for key, value := range over {
		below, isTable := under[key].(map[string]interface{})
		above, areTables := value.(map[string]interface{})
		switch {
		case value == nil:
			delete(under, key)
		case isTable && areTables:
			merge(below, above)
		default:
			under[key] = value
		}
	}
}

func validate(path string, values map[string]interface{}) error {
	schema, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	document, err := json.Marshal(values)
	if err != nil {
		return err
	}
	result, err := gojsonschema.Validate(
		gojsonschema.NewBytesLoader(schema), gojsonschema.NewBytesLoader(document))
	if err != nil {
		return err
	}
	var faults []string
	for _, fault := range result.Errors() {
		faults = append(faults, fault.String())
	}
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "\n"))
	}
	return nil
}

func render(dir, namespace string, values map[string]interface{}) (string, error) {
	root := template.New("chart").Option("missingkey=zero")
	root.Funcs(functions(root))
	paths, err := filepath.Glob(filepath.Join(dir, "templates", "*"))
	if err != nil {
		return "", err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if _, err := root.New(filepath.Base(path)).Parse(string(text)); err != nil {
			return "", err
		}
	}
	about := read(filepath.Join(dir, "Chart.yaml"))
	chart := map[string]interface{}{
		"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]}
	data := map[string]interface{}{
		"Values":  values,
		"Chart":   chart,
		"Release": map[string]interface{}{"Name": "hallmark", "Namespace": namespace, "Service": "Helm"},
	}
	var out strings.Builder
	for _, path := range paths {
		name := filepath.Base(path)
		var text bytes.Buffer
		if err := root.ExecuteTemplate(&text, name, data); err != nil {
			return "", err
		}
		if strings.HasSuffix(name, ".yaml") {
			plain := strings.ReplaceAll(text.String(), "<no value>", "")
			fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", name, plain)
		}
	}
	return out.String(), nil
}

func functions(root *template.Template) template.FuncMap {
	functions := sprig.TxtFuncMap()
	delete(functions, "env")
	delete(functions, "expandenv")
	functions["include"] = func(name string, data interface{}) (string, error) {
		var text strings.Builder
		err := root.ExecuteTemplate(&text, name, data)
		return text.String(), err
	}
	functions["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	return functions
}
