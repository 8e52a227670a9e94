"""Speed and accuracy, measured side by side with what people use today."""
