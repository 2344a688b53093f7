"""What everything else stands on: array backends, errors, files, random draws. It knows no Tensor."""
