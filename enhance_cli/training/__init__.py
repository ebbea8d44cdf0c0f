"""Train models: recipes, the loop, validation, and the state from which a killed run continues."""
