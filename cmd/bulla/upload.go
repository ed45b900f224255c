package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/artifact"
	"github.com/bulla-sign/bulla/oci/carry"
)

// upload makes images of files.
type upload struct {
	registry    flags.Registry
	output      cli.Choice
	files       []string
	contentType string
	annotations []string
	wasm        string
}

func uploadCommand() *cli.Command {
	return &cli.Command{
		Use: "upload", Short: "Upload files to a registry, as images", Group: "Registry",
		Example: `bulla upload blob -f app registry.example.com/app:v1
bulla upload wasm -f filter.wasm registry.example.com/filter:v1`,
		Commands: []*cli.Command{uploadBlobCommand(), uploadWasmCommand()},
	}
}

func uploadBlobCommand() *cli.Command {
	o := &upload{}
	return &cli.Command{
		Use: "blob [flags] IMAGE", Short: "Upload files as an image that can be signed", BindEnv: true,
		Long: `Upload a file to a registry, as an image whose one layer is the file. Several files, each for a platform of its own, become an index. What was uploaded is read back, and its name by digest is printed: sign that.

The files keep their bytes, and the same files make the same digest, which is that of cosign too.`,
		Example: `bulla upload blob -f app registry.example.com/app:v1

# one for each platform
bulla upload blob -f app-linux:linux/amd64 -f app-mac:darwin/arm64 registry.example.com/app:v1`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringArrayVarP(&o.files, "files", "f", nil, "`FILE[:OS[/ARCHITECTURE]]`; repeatable")
			fs.StringVar(&o.contentType, "ct", "", "media `TYPE` of the files; as their first bytes look if not given")
			fs.StringArrayVarP(&o.annotations, "annotation", "a", nil, "annotation of the image, as `NAME=VALUE`; repeatable")
			cli.RequireOne(fs, "files")
			o.registerRest(fs)
		},
		Run: o.blob,
	}
}

func uploadWasmCommand() *cli.Command {
	o := &upload{}
	return &cli.Command{
		Use: "wasm [flags] IMAGE", Short: "Upload a WebAssembly module", BindEnv: true,
		Long:    `Upload a WebAssembly module to a registry, in the form that runtimes fetch it in. It is read back, and its name by digest is printed: sign that.`,
		Example: `bulla upload wasm -f filter.wasm registry.example.com/filter:v1`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVarP(&o.wasm, "file", "f", "", "`FILE` with the module")
			cli.RequireOne(fs, "file")
			o.registerRest(fs)
		},
		Run: o.module,
	}
}

func (o *upload) registerRest(fs *pflag.FlagSet) {
	o.registry.Register(fs)
	cli.Output(fs, &o.output, "text", "text", "json")
	cli.Own(fs, "output")
}

// uploadedFile is what is printed about one file.
type uploadedFile struct {
	File      string `json:"file"`
	Platform  string `json:"platform,omitempty"`
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"` // of the layer
	Size      int64  `json:"size"`   // bytes
}

// maxFiles bounds the images of one index: every platform that Go knows is below fifty.
const maxFiles = 1000

// parseFile takes FILE[:OS[/ARCHITECTURE]] apart. A file of the whole name is meant where there is one.
func parseFile(text string) (path string, platform artifact.Platform) {
	at := strings.LastIndex(text, ":")
	if _, err := os.Stat(text); err == nil || at < 0 {
		return text, platform
	}
	platform.OS, platform.Architecture, _ = strings.Cut(text[at+1:], "/")
	return text[:at], platform
}

func (o *upload) blob(ctx context.Context, c *cli.Call) error {
	annotations, err := annotationPairs(o.annotations)
	if err != nil {
		return err
	}
	if len(o.files) > maxFiles {
		return cli.Usagef("%d files are given; at most %d are uploaded at once", len(o.files), maxFiles)
	}
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	var images []artifact.Image
	var shown []uploadedFile
	taken := map[artifact.Platform]string{}
	for _, text := range o.files {
		path, platform := parseFile(text)
		if other, again := taken[platform]; again && len(o.files) > 1 {
			return cli.Usagef("%s and %s are for the same platform, and an index has one image for each", other, path)
		}
		if platform.OS == "" && len(o.files) > 1 {
			return cli.Usagef("%s is for no platform; several files need one each", path).WithHint("write it behind the name: -f %s:linux/amd64", path)
		}
		taken[platform] = path
		content, err := artifact.FromFile(path)
		if err != nil {
			return inputError(err)
		}
		i := artifact.Image{Content: content, MediaType: o.contentType, Annotations: annotations, Platform: platform}
		if i.MediaType == "" {
			i.MediaType = content.Sniffed
		}
		c.Infof("Uploading file from [%s] to [%s] with media type [%s]", path, c.Args[0], i.MediaType)
		images = append(images, i)
		shown = append(shown, uploadedFile{path, strings.TrimSuffix(platform.OS+"/"+platform.Architecture, "/"), i.MediaType, content.Digest, content.Size})
	}
	set := artifact.NewSet()
	var image *carry.Manifest
	if len(images) > 1 {
		image, err = set.Index(images, annotations)
	} else {
		image, err = set.Image(images[0])
	}
	if err != nil {
		return err
	}
	return o.put(ctx, c, client, madeImage{set: set, image: image, ref: c.Args[0], force: true}, shown)
}

// module uploads a WebAssembly module (solo.io "WASM Artifact Image Specification", compat variant).
func (o *upload) module(ctx context.Context, c *cli.Call) error {
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	content, err := artifact.FromFile(o.wasm)
	if err != nil {
		return inputError(err)
	}
	if content.Sniffed != "application/wasm" {
		c.Warnf("%s does not begin as a WebAssembly module does", o.wasm)
	}
	i := artifact.Image{
		Content: content, MediaType: "application/vnd.wasm.content.layer.v1+wasm", ConfigType: "application/vnd.wasm.config.v1+json",
	}
	c.Infof("Uploading wasm file from [%s] to [%s].", o.wasm, c.Args[0])
	set := artifact.NewSet()
	image, err := set.Image(i)
	if err != nil {
		return err
	}
	file := uploadedFile{File: o.wasm, MediaType: i.MediaType, Digest: content.Digest, Size: content.Size}
	return o.put(ctx, c, client, madeImage{set: set, image: image, ref: c.Args[0], force: true}, []uploadedFile{file})
}

// put uploads the image, replaces what its tag named before, and prints its name.
func (o *upload) put(ctx context.Context, c *cli.Call, client *oci.Client, m madeImage, files []uploadedFile) error {
	if err := putMade(ctx, c, client, m); err != nil {
		return err
	}
	img, err := client.Parse(m.ref)
	if err != nil {
		return err
	}
	img.Digest = m.image.Digest
	for i := range files {
		c.Infof("File [%s] is available directly at [%s/v2/%s/blobs/%s]", describe.Printable(files[i].File), img.Repository.RegistryStr(), img.Repository.RepositoryStr(), files[i].Digest)
	}
	if o.output.String() == "json" {
		return c.PrintJSON(struct {
			Reference string         `json:"reference"`
			Digest    string         `json:"digest"`
			Files     []uploadedFile `json:"files"`
		}{img.Name(), img.Digest, files})
	}
	if c.Cosign && o.wasm != "" {
		return nil
	}
	if c.Cosign && len(files) > 1 {
		c.Infof("Uploading multi-platform index to %s", img.Name())
		return nil
	}
	c.Infof("Uploaded image to:")
	_, err = fmt.Fprintln(c.Out, img.Name())
	return err
}

// annotationPairs reads NAME=VALUE flags.
func annotationPairs(list []string) (map[string]string, error) {
	var out map[string]string
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, cli.Usagef("%q is not of the form NAME=VALUE", text)
		}
		if _, again := out[name]; again {
			return nil, cli.Usagef("the annotation %s is given twice", name)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out, nil
}
