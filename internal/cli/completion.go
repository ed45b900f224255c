package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func completionCommand(a *App) *Command {
	return &Command{
		Use: "completion bash|zsh|fish|powershell", Short: "Print a script that teaches a shell to complete commands and flags",
		Group: "More", Args: oneShell,
		Example: `# for this session of bash
source <(bulla completion bash)

# for every session of zsh
bulla completion zsh > "${fpath[1]}/_bulla"`,
		Run: func(_ context.Context, c *Call) error {
			switch c.Args[0] {
			case "bash":
				return a.root.GenBashCompletionV2(c.Out, true)
			case "zsh":
				return a.root.GenZshCompletion(c.Out)
			case "fish":
				return a.root.GenFishCompletion(c.Out, true)
			default:
				return a.root.GenPowerShellCompletionWithDesc(c.Out)
			}
		},
	}
}

func oneShell(_ *cobra.Command, args []string) error {
	if len(args) == 1 {
		switch args[0] {
		case "bash", "zsh", "fish", "powershell":
			return nil
		}
	}
	return Usagef("name one shell: bash, zsh, fish or powershell")
}
