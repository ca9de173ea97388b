"""The UCI handwritten digits, from scikit-learn's copy, split once and for all."""
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SPLIT_SEED = 1


def load_split():
    """Training images, training labels, test images, test labels.

    Images are float32, NCHW (count, 1, 8, 8), with values 0 to 16 as published; labels are uint8.
    The test part is a fifth of each class.
    """
    digits = load_digits()
    images = digits.images.astype(np.float32)[:, None, :, :]
    labels = digits.target.astype(np.uint8)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=SPLIT_SEED)
    return train_x, train_y, test_x, test_y
