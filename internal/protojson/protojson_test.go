package protojson

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

type inner struct {
	name string
	raw  []byte
}

type outer struct {
	title  string
	count  int64
	small  int32
	size   uint32
	blob   []byte
	kind   int32
	flag   bool
	at     time.Time
	inners []inner
	one    *inner
	left   *string
	right  *string
	any    []byte
	tags   map[string]string
}

var kinds = []EnumValue{{"KIND_NONE", 0}, {"KIND_A", 1}, {"KIND_B", 2}}

var innerFields = []Field[inner]{
	{Name: "name", Read: func(d *Decoder, v *inner) error { return d.String(&v.name) }},
	{Name: "rawBytes", Proto: "raw_bytes", Read: func(d *Decoder, v *inner) error { return d.Bytes(&v.raw) }},
}

var outerFields = []Field[outer]{
	{Name: "title", Read: func(d *Decoder, v *outer) error { return d.String(&v.title) }},
	{Name: "logIndex", Proto: "log_index", Read: func(d *Decoder, v *outer) error { return d.Int64(&v.count) }},
	{Name: "small", Read: func(d *Decoder, v *outer) error { return d.Int32(&v.small) }},
	{Name: "size", Read: func(d *Decoder, v *outer) error { return d.Uint32(&v.size) }},
	{Name: "blob", Read: func(d *Decoder, v *outer) error { return d.Bytes(&v.blob) }},
	{Name: "kind", Read: func(d *Decoder, v *outer) error { return d.Enum(kinds, &v.kind) }},
	{Name: "flag", Read: func(d *Decoder, v *outer) error { return d.Bool(&v.flag) }},
	{Name: "at", Read: func(d *Decoder, v *outer) error { return d.Timestamp(&v.at) }},
	{Name: "inners", Read: func(d *Decoder, v *outer) error {
		return List(d, &v.inners, 3, func(d *Decoder, e *inner) error { return Object(d, innerFields, e) })
	}},
	{Name: "one", Read: func(d *Decoder, v *outer) error {
		v.one = new(inner)
		return Object(d, innerFields, v.one)
	}},
	{Name: "left", OneOf: 1, Read: func(d *Decoder, v *outer) error { v.left = new(string); return d.String(v.left) }},
	{Name: "right", OneOf: 1, Read: func(d *Decoder, v *outer) error { v.right = new(string); return d.String(v.right) }},
	{Name: "any", Read: func(d *Decoder, v *outer) error { return d.Raw(&v.any) }},
	{Name: "tags", Read: func(d *Decoder, v *outer) error {
		v.tags = map[string]string{}
		return d.Members(2, func(name string) error {
			var s string
			err := d.String(&s)
			v.tags[name] = s
			return err
		})
	}},
}

var limits = Limits{Bytes: 1 << 12, Depth: 6}

func read(s string) (outer, error) {
	var v outer
	err := Unmarshal([]byte(s), limits, outerFields, &v)
	return v, err
}

func TestAccepts(t *testing.T) {
	for name, tc := range map[string]struct {
		in string
		ok func(outer) bool
	}{
		"camel":            {`{"logIndex":"5"}`, func(v outer) bool { return v.count == 5 }},
		"snake":            {`{"log_index":5}`, func(v outer) bool { return v.count == 5 }},
		"escaped name":     {`{"\u006cog_index":5}`, func(v outer) bool { return v.count == 5 }},
		"exponent":         {`{"logIndex":"12e2"}`, func(v outer) bool { return v.count == 1200 }},
		"whole fraction":   {`{"logIndex":1.50e1}`, func(v outer) bool { return v.count == 15 }},
		"minus zero":       {`{"logIndex":-0}`, func(v outer) bool { return v.count == 0 }},
		"minimum":          {`{"logIndex":-9223372036854775808}`, func(v outer) bool { return v.count == math.MinInt64 }},
		"maximum":          {`{"logIndex":"9223372036854775807"}`, func(v outer) bool { return v.count == math.MaxInt64 }},
		"zero, huge exp":   {`{"logIndex":0e999}`, func(v outer) bool { return v.count == 0 }},
		"uint32 maximum":   {`{"size":4294967295}`, func(v outer) bool { return v.size == math.MaxUint32 }},
		"null":             {`{"logIndex":null,"inners":null,"one":null}`, func(v outer) bool { return v.one == nil }},
		"null in oneof":    {`{"left":null,"right":"x"}`, func(v outer) bool { return v.left == nil && *v.right == "x" }},
		"empty in oneof":   {`{"left":""}`, func(v outer) bool { return v.left != nil }},
		"std base64":       {`{"blob":"++//AA=="}`, func(v outer) bool { return bytes.Equal(v.blob, []byte{0xfb, 0xef, 0xff, 0}) }},
		"url base64":       {`{"blob":"--__AA"}`, func(v outer) bool { return bytes.Equal(v.blob, []byte{0xfb, 0xef, 0xff, 0}) }},
		"url padded":       {`{"blob":"--__AA=="}`, func(v outer) bool { return len(v.blob) == 4 }},
		"std unpadded":     {`{"blob":"++//AA"}`, func(v outer) bool { return len(v.blob) == 4 }},
		"escaped slash":    {`{"blob":"++\/\/AA=="}`, func(v outer) bool { return len(v.blob) == 4 }},
		"empty bytes":      {`{"blob":""}`, func(v outer) bool { return v.blob != nil && len(v.blob) == 0 }},
		"enum name":        {`{"kind":"KIND_B"}`, func(v outer) bool { return v.kind == 2 }},
		"enum number":      {`{"kind":1}`, func(v outer) bool { return v.kind == 1 }},
		"enum open":        {`{"kind":77}`, func(v outer) bool { return v.kind == 77 }},
		"bool":             {`{"flag":true}`, func(v outer) bool { return v.flag }},
		"time":             {`{"at":"2026-01-02T03:04:05.25+01:00"}`, func(v outer) bool { return v.at.Equal(time.Date(2026, 1, 2, 2, 4, 5, 25e7, time.UTC)) }},
		"list":             {`{"inners":[{"name":"a"},{}]}`, func(v outer) bool { return len(v.inners) == 2 && v.inners[0].name == "a" }},
		"raw":              {`{"any": {"b":[1.50, 2]} }`, func(v outer) bool { return string(v.any) == `{"b":[1.50, 2]}` }},
		"brackets in text": {`{"any":"[[[[[[\"[[["}`, func(v outer) bool { return len(v.any) > 0 }},
		"map":              {`{"tags":{"a":"b","":"c"}}`, func(v outer) bool { return v.tags["a"] == "b" && v.tags[""] == "c" }},
		"out of order":     {" {\n\"flag\":true,\t\"title\":\"\\ud83d\\ude00\"} \r\n", func(v outer) bool { return v.flag && v.title == "😀" }},
	} {
		v, err := read(tc.in)
		if err != nil || !tc.ok(v) {
			t.Errorf("%s: %s: %v, %+v", name, tc.in, err, v)
		}
	}
}

func TestRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"empty":              {``, `empty`},
		"blank":              {` `, `ends too early`},
		"truncated":          {`{"title":"a"`, `ends too early`},
		"truncated string":   {`{"title":"a`, `ends too early`},
		"null":               {`null`, `is null, want an object`},
		"list for object":    {`[]`, `is a list, want an object`},
		"trailing":           {`{} {}`, `more JSON after the end`},
		"trailing junk":      {`{} x`, `unexpected data after the end`},
		"trailing NUL":       {"{}\x00", `unexpected data after the end`},
		"byte order mark":    {"\xef\xbb\xbf{}", `not valid JSON at byte 0`},
		"trailing comma":     {`{"title":"a",}`, `not valid JSON`},
		"list comma":         {`{"inners":[{},]}`, `inners: not valid JSON`},
		"wrong bracket":      {`{"inners":[}`, `inners`},
		"number as name":     {`{1:2}`, `not valid JSON`},
		"comment":            {`{/**/}`, `not valid JSON`},
		"unknown":            {`{"tilte":1}`, `unknown field "tilte"`},
		"unknown, case":      {`{"LogIndex":1}`, `unknown field "LogIndex", is "logIndex" meant?`},
		"unknown, nested":    {`{"inners":[{},{"x":1}]}`, `inners[1]: unknown field "x"`},
		"mixed spelling":     {`{"log_Index":1}`, `unknown field "log_Index"`},
		"twice":              {`{"title":"a","title":"a"}`, `title: given twice`},
		"twice, nested":      {`{"one":{"name":"a","name":"a"}}`, `one.name: given twice`},
		"twice, spellings":   {`{"logIndex":1,"log_index":1}`, `logIndex: given twice`},
		"twice, null":        {`{"logIndex":null,"log_index":1}`, `logIndex: given twice`},
		"twice, escaped":     {`{"title":"a","\u0074itle":"a"}`, `title: given twice`},
		"twice, map":         {`{"tags":{"a":"","a":""}}`, `tags.a: given twice`},
		"twice, raw":         {`{"any":{"a":1,"a":1}}`, `any.a: given twice`},
		"oneof":              {`{"left":"a","right":"b"}`, `right: excludes another field`},
		"null in list":       {`{"inners":[null]}`, `inners[0]: null inside a list`},
		"null in map":        {`{"tags":{"a":null}}`, `tags.a: is null, want a string`},
		"too many":           {`{"inners":[{},{},{},{}]}`, `inners: more than 3 elements`},
		"too many members":   {`{"tags":{"a":"","b":"","c":""}}`, `tags: more than 2 members`},
		"too deep, raw":      {`{"any":[[[[[[]]]]]]}`, `any: nested deeper than 6`},
		"far too deep":       {`{"any":` + strings.Repeat("[", 1000), `any: not valid JSON: ends too early`},
		"too long":           {`{"title":"` + strings.Repeat("a", 1<<12) + `"}`, `more than the limit of 4096`},
		"number for string":  {`{"title":1}`, `title: is a number, want a string`},
		"string for bool":    {`{"flag":"true"}`, `flag: is a string, want a boolean`},
		"object for int":     {`{"logIndex":{}}`, `logIndex: is an object, want an integer`},
		"bool for int":       {`{"logIndex":true}`, `logIndex: is a boolean`},
		"fraction":           {`{"logIndex":1.5}`, `logIndex: is "1.5", want a signed integer of 64 bits`},
		"fraction by exp":    {`{"logIndex":15e-1}`, `logIndex`},
		"overflow":           {`{"logIndex":9223372036854775808}`, `logIndex`},
		"overflow by exp":    {`{"logIndex":1e19}`, `logIndex`},
		"huge exponent":      {`{"logIndex":1e99999999999}`, `logIndex`},
		"underflow":          {`{"logIndex":"-9223372036854775809"}`, `logIndex`},
		"space in number":    {`{"logIndex":" 1"}`, `logIndex`},
		"plus":               {`{"logIndex":"+1"}`, `logIndex`},
		"leading zero":       {`{"logIndex":"01"}`, `logIndex`},
		"hex":                {`{"logIndex":"0x1"}`, `logIndex`},
		"underscore":         {`{"logIndex":"1_0"}`, `logIndex`},
		"exp underscore":     {`{"logIndex":"1e1_0"}`, `logIndex`},
		"no digits":          {`{"logIndex":"-"}`, `logIndex`},
		"dot only":           {`{"logIndex":"1."}`, `logIndex`},
		"exp only":           {`{"logIndex":"1e"}`, `logIndex`},
		"empty number":       {`{"logIndex":""}`, `logIndex`},
		"bare leading zero":  {`{"logIndex":00}`, `not valid JSON`},
		"long number":        {`{"logIndex":1.` + strings.Repeat("0", 99) + `}`, `logIndex`},
		"int32":              {`{"small":2147483648}`, `small: is "2147483648", want a signed integer of 32 bits`},
		"uint32 negative":    {`{"size":-1}`, `size`},
		"uint32 over":        {`{"size":4294967296}`, `size`},
		"base64":             {`{"blob":"!!!!"}`, `blob: not base64`},
		"base64 length":      {`{"blob":"AAAAA"}`, `blob: not base64`},
		"base64 mixed":       {`{"blob":"+_AA"}`, `blob: not base64`},
		"base64 after pad":   {`{"blob":"AA==AA=="}`, `blob: not base64`},
		"enum":               {`{"kind":"KIND_C"}`, `kind: unknown value "KIND_C"`},
		"enum case":          {`{"kind":"kind_a"}`, `kind: unknown value`},
		"enum range":         {`{"kind":4294967296}`, `kind`},
		"time":               {`{"at":"yesterday"}`, `at: is "yesterday", want a time`},
		"time, comma":        {`{"at":"2026-01-02T03:04:05,5Z"}`, `at`},
		"time, day":          {`{"at":"2026-02-30T00:00:00Z"}`, `at`},
		"time, fraction":     {`{"at":"2026-01-02T03:04:05.0000000001Z"}`, `at`},
		"time, year 0":       {`{"at":"0000-01-02T03:04:05Z"}`, `at`},
		"time, before year1": {`{"at":"0001-01-01T00:00:00+01:00"}`, `at`},
		"time, long":         {`{"at":"2026-01-02T03:04:05.` + strings.Repeat("0", 100) + `Z"}`, `at`},
		"invalid UTF-8":      {"{\"title\":\"\xff\"}", `title: not valid JSON`},
		"invalid UTF-8 name": {"{\"\xff\":1}", `not valid JSON`},
		"lone surrogate":     {`{"title":"\ud800"}`, `title: not valid JSON`},
		"control":            {"{\"title\":\"\x01\"}", `title: not valid JSON`},
	} {
		_, err := read(tc.in)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: accepted, or no *Error: %v", name, err)
			continue
		}
		if !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %q does not contain %q", name, err, tc.want)
		}
	}
}

func TestTooManyFields(t *testing.T) {
	var v inner
	if err := Unmarshal([]byte(`{}`), limits, make([]Field[inner], 65), &v); err == nil {
		t.Error("a table that Object cannot track was accepted")
	}
}

func TestOpenObject(t *testing.T) {
	readOpen := func(s string) (inner, error) {
		var v inner
		err := Document([]byte(s), limits, func(d *Decoder) error { return OpenObject(d, innerFields, &v) })
		return v, err
	}
	if v, err := readOpen(`{"other":[1e400,{}],"name":"n","more":null}`); err != nil || v.name != "n" {
		t.Errorf("unknown members: %v %+v", err, v)
	}
	for in, want := range map[string]string{
		`{"x":1,"x":2}`:                         `x: given twice`,
		`{"name":"a","name":"b"}`:               `name: given twice`,
		`{"x":{"a":1,"a":2}}`:                   `x.a: given twice`,
		`{"x":[1,]}`:                            `x: not valid JSON`,
		`{"x":[[[[[[[]]]]]]]}`:                  `x: nested deeper than 6`,
		`{"x":` + strings.Repeat("[", 20000):    `x: not valid JSON`,
		`{"` + strings.Repeat("y", 9) + `":01}`: `not valid JSON`,
	} {
		l := limits
		limits.Bytes = 1 << 20
		_, err := readOpen(in)
		limits = l
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", in, err, want)
		}
	}
}

// TestManyNames checks the limits that keep the search for duplicates cheap.
func TestManyNames(t *testing.T) {
	testenv.Unwatched(t)
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%x":1,`, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	wide := Limits{Bytes: 1 << 24}
	raw := func(s string) error {
		return Document([]byte(s), wide, func(d *Decoder) error { return d.Skip() })
	}
	open := func(s string) error {
		return Document([]byte(s), wide, func(d *Decoder) error { return OpenObject(d, innerFields, new(inner)) })
	}
	if err := raw(`[{` + many(maxNames) + `},{"a":1}]`); err != nil {
		t.Error(err)
	}
	if err := raw(`[` + strings.Repeat("0,", maxNames) + `0]`); err != nil {
		t.Error(err)
	}
	if err := raw(`[{` + many(maxNames+1) + `}]`); err == nil || !strings.Contains(err.Error(), "more than 1048576 members") {
		t.Error(err)
	}
	if err := open(`{` + many(maxOthers) + `}`); err != nil {
		t.Error(err)
	}
	if err := open(`{` + many(maxOthers+1) + `}`); err == nil || !strings.Contains(err.Error(), "more than 1000 unknown members") {
		t.Error(err)
	}
}

func TestUnmarshalKeepsNothing(t *testing.T) {
	data := []byte(`{"title":"abc","blob":"AAAA","any":[1,2],"tags":{"k":"v"}}`)
	var v outer
	if err := Unmarshal(data, limits, outerFields, &v); err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = 'X'
	}
	if v.title != "abc" || string(v.any) != "[1,2]" || v.tags["k"] != "v" || !bytes.Equal(v.blob, make([]byte, 3)) {
		t.Errorf("changed with its input: %+v", v)
	}
}

func write(v outer) ([]byte, error) {
	var w Writer
	w.Begin("")
	w.String("title", v.title)
	w.Int64("logIndex", v.count)
	w.Int32("small", v.small)
	w.Int64("size", int64(v.size))
	w.Bytes("blob", v.blob)
	if v.kind > 0 && int(v.kind) < len(kinds) {
		w.String("kind", kinds[v.kind].Name)
	} else {
		w.Int32("kind", v.kind)
	}
	w.Bool("flag", v.flag)
	w.Time("at", v.at)
	if len(v.inners) > 0 {
		w.BeginList("inners")
		for _, e := range v.inners {
			w.Begin("")
			w.String("name", e.name)
			w.Bytes("rawBytes", e.raw)
			w.End()
		}
		w.EndList()
	}
	if v.left != nil {
		w.Text("left", *v.left)
	}
	if v.any != nil {
		w.Raw("any", v.any)
	}
	if v.tags != nil {
		w.Begin("tags")
		for _, k := range slices.Sorted(maps.Keys(v.tags)) {
			w.Member(k, []byte(`"`+v.tags[k]+`"`))
		}
		w.End()
	}
	w.End()
	return w.Done()
}

func TestWrite(t *testing.T) {
	empty := ""
	got, err := write(outer{
		title: "a<&>\u2028\"\\\n/", count: -7, small: 3, blob: []byte{0xfb, 0xef}, kind: 2, flag: true, left: &empty,
		at: time.Date(2026, 1, 2, 3, 4, 5, 120e6, time.FixedZone("", 3600)), inners: []inner{{}, {name: "x", raw: []byte{1}}}, any: []byte(`[1.50]`),
		tags: map[string]string{"": "e", "k": "v"},
	})
	want := `{"title":"a<&>` + "\u2028" + `\"\\\n/","logIndex":"-7","small":3,"blob":"++8=","kind":"KIND_B","flag":true,` +
		`"at":"2026-01-02T02:04:05.120Z","inners":[{},{"name":"x","rawBytes":"AQ=="}],"left":"","any":[1.50],"tags":{"":"e","k":"v"}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	if _, err := write(outer{title: "\xff"}); err == nil {
		t.Error("invalid UTF-8 was written")
	}
	if _, err := write(outer{at: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}); err == nil {
		t.Error("a time of the year 10000 was written")
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		`{"title":"a","log_index":"12e2","blob":"_-8","kind":"KIND_A","at":"2026-01-02T03:04:05Z","inners":[{"name":"x"}],"left":"","any":{"a":[1]},"tags":{"x":"y"}}`,
		`{"inners":[{},{},{},{}]}`, `[[[[[[`, `{"a":1,"a":2}`, "{\"title\":\"\\ud83d\\ude00\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v outer
		err := Unmarshal(data, limits, outerFields, &v)
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || e.Reason == "" {
				t.Fatalf("not an *Error with a reason: %v", err)
			}
			return
		}
		v.right, v.one, v.tags = nil, nil, nil
		first, err := write(v)
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		var again outer
		if err := Unmarshal(first, Limits{}, outerFields, &again); err != nil {
			t.Fatalf("written but not read: %v: %s", err, first)
		}
		second, err := write(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("not stable:\n%s\n%s\n%v", first, second, err)
		}
	})
}

func BenchmarkUnmarshal(b *testing.B) {
	cert := base64.StdEncoding.EncodeToString(make([]byte, 1200))
	data := []byte(`{"title":"application/x","logIndex":"123456789","blob":"` + cert + `","kind":"KIND_A","inners":[{"name":"a","rawBytes":"` + cert + `"},{"name":"b"}]}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var v outer
		if err := Unmarshal(data, Limits{Bytes: 1 << 20, Depth: 16}, outerFields, &v); err != nil {
			b.Fatal(err)
		}
	}
}
