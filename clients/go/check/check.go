// Package check owns the sample records, the comparisons and the loop over scenarios that the Go
// clients share; it knows no client library.
package check

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"time"
)

// Deadline is how long a scenario waits for one thing.
const Deadline = 45 * time.Second

// Codecs are the compression types by Kafka's names.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Sample is one record as it is sent and as it must come back.
type Sample struct {
	Number     int
	Key, Value []byte
	Headers    []Header
	Time       time.Time
}

// Samples gives records with and without keys, values and headers; times of the last minutes.
func Samples(count int) []Sample {
	start := time.Now().Add(-200 * time.Second).UnixMilli()
	samples := make([]Sample, count)
	for number := range samples {
		sample := Sample{Number: number, Time: time.UnixMilli(start + int64(number))}
		if number%7 != 0 {
			sample.Key = fmt.Appendf(nil, "key-%d", number)
		}
		sample.Value = bytes.Repeat(fmt.Appendf(nil, "value-%d-", number), 1+number%50)
		if number%11 == 5 && sample.Key != nil {
			sample.Value = nil
		}
		if number%13 == 3 {
			sample.Value = []byte{}
		}
		if number%3 == 0 {
			sample.Headers = []Header{
				{"h", []byte("one")}, {"h", []byte("two")}, {"empty", []byte{}}, {"binary", []byte{0, 255}},
			}
		}
		samples[number] = sample
	}
	return samples
}

// Fail ends the scenario with a sentence.
func Fail(format string, values ...any) {
	panic(failure(fmt.Sprintf(format, values...)))
}

type failure string

// Ok ends the scenario when there is an error.
func Ok(err error, what string) {
	if err != nil {
		Fail("%s: %v", what, err)
	}
}

// Equal ends the scenario when two values differ.
func Equal[T comparable](found, wanted T, what string) {
	if found != wanted {
		Fail("%s: got %v, wanted %v", what, found, wanted)
	}
}

// Compare ends the scenario when the records read differ from those sent.
func Compare(found, sent []Sample, what string) {
	Equal(len(found), len(sent), what+": number of records")
	for at, got := range found {
		wanted := sent[at]
		same := bytes.Equal(got.Key, wanted.Key) && (got.Key == nil) == (wanted.Key == nil) &&
			bytes.Equal(got.Value, wanted.Value) && (got.Value == nil) == (wanted.Value == nil) &&
			got.Time.Equal(wanted.Time) &&
			slices.EqualFunc(got.Headers, wanted.Headers, func(a, b Header) bool {
				return a.Key == b.Key && bytes.Equal(a.Value, b.Value)
			})
		if !same {
			Fail("%s: record %d: got %+v, wanted %+v", what, wanted.Number, got, wanted)
		}
	}
}

// Until calls condition until it is true; it ends the scenario after the deadline.
func Until(condition func() bool, what string) {
	for end := time.Now().Add(Deadline); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if condition() {
			return
		}
	}
	Fail("not within %v: %s", Deadline, what)
}

// Scenario is one thing that a client is asked to do with a name of its own for topics and groups.
type Scenario struct {
	Name string
	Do   func(bootstrap, name string)
}

// Run runs the scenarios against os.Args[1] with names that start with os.Args[2]; more arguments
// choose scenarios.
func Run(scenarios []Scenario) {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: PROGRAM BOOTSTRAP PREFIX [SCENARIO]...")
		os.Exit(2)
	}
	failed := 0
	for _, scenario := range scenarios {
		if chosen := os.Args[3:]; len(chosen) > 0 && !slices.Contains(chosen, scenario.Name) {
			continue
		}
		start := time.Now()
		if what := do(scenario); what != "" {
			failed++
			fmt.Printf("FAILED %s: %s\n", scenario.Name, what)
		} else {
			fmt.Printf("ok %s %.1f s\n", scenario.Name, time.Since(start).Seconds())
		}
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func do(scenario Scenario) (what string) {
	defer func() {
		switch caught := recover().(type) {
		case nil:
		case failure:
			what = string(caught)
		default:
			panic(caught)
		}
	}()
	scenario.Do(os.Args[1], os.Args[2]+"-"+scenario.Name)
	return ""
}
