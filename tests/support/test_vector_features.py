"""Features of vector files; outlines in all their ways are tested where permits and sites are read."""

import geopandas
import pytest
import shapely

from euromine.support.errors import DataError, PermitError
from euromine.support.vector_features import read_features


def test_features_come_with_their_columns_and_coordinate_system(tmp_path):
    frame = geopandas.GeoDataFrame({"name": ["A"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=32633)
    frame.to_file(tmp_path / "a.gpkg")
    found = read_features(tmp_path / "a.gpkg", None)
    assert (found.crs.to_epsg(), list(found["name"]), found.geometry.iloc[0].area) == (32633, ["A"], 1)


def test_errors_are_of_the_class_that_is_asked_for(tmp_path):
    (tmp_path / "a.geojson").write_text("nothing")
    for error_class in (DataError, PermitError):
        with pytest.raises(error_class, match=r"a\.geojson: found no readable outlines"):
            read_features(tmp_path / "a.geojson", None, error_class)
