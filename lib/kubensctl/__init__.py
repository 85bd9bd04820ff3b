"""kubensctl(1): what people hold in their hands. Imports kubens; kubens never imports it."""
