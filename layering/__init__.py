"""How it is done: planning, and the thin brackets that carry a plan out on a real host."""
