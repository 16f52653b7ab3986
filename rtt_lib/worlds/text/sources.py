"""The data sources of text, by what rules can do for them."""

CONSTRUCTED = ("composed",)  # for these prompts rules write responses and labels
SOFT = ("hir16k",)  # their rubrics hold soft criteria, which only a judge can verify
