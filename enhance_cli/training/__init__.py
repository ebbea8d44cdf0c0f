"""Training: recipes, the loop, validation, and the state that lets a killed run go on."""
