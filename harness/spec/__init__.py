"""What a task, a method, a metric declares of itself, and where the declarations are found."""
