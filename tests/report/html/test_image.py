import base64

from pyg_modules.report.html.image import image


def test_a_figure_is_a_png_of_the_size_that_is_asked_for():
    drawn = image(lambda ax: ax.plot([0, 1]), "caption", "alt", size=(3.0, 2.0))
    prefix, encoded = drawn.uri.split(",")
    assert prefix == "data:image/png;base64"
    png = base64.b64decode(encoded)
    assert png.startswith(b"\x89PNG")
    # The header of a PNG says its width and height.
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (432, 288)
    assert (drawn.width, drawn.height, drawn.is_wide, drawn.missing) == (288, 192, False, "")


def test_what_cannot_be_drawn_says_why():
    def draw(_ax):
        raise ValueError("Expected a record at least.")

    drawn = image(draw, "caption", "alt")
    assert (drawn.uri, drawn.missing) == (None, "Expected a record at least.")
