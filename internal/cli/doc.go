// Package cli is what the programs of this project have in common on the command line: how commands and their flags are
// declared, how environment variables stand in for flags, how help, errors and exit statuses look, and how to behave as
// a drop-in for cosign when called by that name.
//
// A command is a [Command] value, usually made by a constructor in a file of its own:
//
//	func helloCommand() *cli.Command {
//		var o struct {
//			name   string
//			output cli.Choice
//		}
//		return &cli.Command{
//			Use: "hello [flags]", Short: "Greet somebody", Group: "Misc", BindEnv: true,
//			Flags: func(fs *pflag.FlagSet) {
//				fs.StringVar(&o.name, "name", "world", "who is greeted, a `NAME`")
//				cli.Output(fs, &o.output, "text", "json")
//			},
//			Run: func(ctx context.Context, c *cli.Call) error {
//				if o.output.String() == "json" {
//					return c.PrintJSON(map[string]string{"hello": o.name})
//				}
//				fmt.Fprintf(c.Out, "hello, %s\n", o.name)
//				return nil
//			},
//		}
//	}
//
// and is put into the list that the program gives to [App]. Flags is called for the selected command only, so that
// starting the program does not pay for all the others. Flags that several commands share are in the package flags.
package cli
