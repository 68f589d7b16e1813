"""What the commands do: each joins the wings, returns a result and prints nothing."""
