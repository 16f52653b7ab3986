"""How fast is it? `python -m rtt_lib.run.speed` says what can be measured."""
